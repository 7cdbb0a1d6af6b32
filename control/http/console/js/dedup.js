/* What topics' dedup windows hold. */
import {h, fill, field} from "./dom.js";
import {segment} from "./api.js";
import {count, bytes, duration} from "./format.js";
import {heading, Paged} from "./pages.js";

const number = {number: true};
const worry = each => h("span", {class: each ? "warn" : null}, count(each));

export function dedup(main) {
	const search = h("input", {type: "search", maxlength: 249, oninput: () => list.restart()});
	const list = new Paged("/dedup", {
		rows: "topics",
		query: () => ({search: search.value}),
		caption: "Dedup windows",
		headings: ["Topic", ["Ids", number], ["Covers for sure", number], ["Memory", number], ["Files", number],
			["Duplicates", number], ["Forgotten early", number], ["Refused", number]],
		cells: each => [h("a", {href: `#/topics/${segment(each.topic)}/settings`}, each.topic), count(each.entries),
			duration(each.covered_ms), bytes(each.memory_bytes), bytes(each.file_bytes), count(each.hits),
			worry(each.evictions), worry(each.rejections)],
		empty: "No topic has a dedup window: dedup.enable among a topic's settings opens one.",
	});
	fill(main, heading("Dedup windows"), h("p", {class: "soft"},
		"Message ids that topics remember, so that what is sent again is stored once. Up to five seconds old."),
	h("div", {class: "card fields"}, field("Search", search, {wide: true})), list.element);
	list.load();
}
