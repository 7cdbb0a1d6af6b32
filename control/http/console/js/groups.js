/* All groups, page by page. */
import {h, fill, field} from "./dom.js";
import {segment} from "./api.js";
import {count} from "./format.js";
import {heading, Paged} from "./pages.js";

export const state = each => h("span", {class: each === "Stable" ? "good" : each === "Dead" ? "bad" : "soft"}, each);

export function groups(main) {
	const search = h("input", {type: "search", maxlength: 249, oninput: () => list.restart()});
	const list = new Paged("/groups", {
		rows: "groups",
		query: () => ({search: search.value}),
		caption: "Groups",
		headings: ["Group", "Type", "State", ["Members", {number: true}], ["Lag", {number: true}]],
		cells: each => [h("a", {href: `#/groups/${segment(each.id)}`}, each.id), each.type, state(each.state),
			count(each.members), count(each.lag)],
		empty: "No group is called so. A consumer with a group.id makes one.",
	});
	fill(main, heading("Groups"), h("div", {class: "card fields"}, field("Search", search, {wide: true})),
		list.element);
	list.load();
}
