/* All topics, page by page; a new one. */
import {h, fill, field, ask} from "./dom.js";
import {post, segment} from "./api.js";
import {count} from "./format.js";
import {heading, action, Paged} from "./pages.js";

const link = topic => h("a", {href: `#/topics/${segment(topic.name)}`}, topic.name);

async function create() {
	const fields = [
		field("Name", h("input", {name: "name", required: true, maxlength: 249, pattern: "[a-zA-Z0-9._\\-]+"}),
			{hint: "Letters, digits, dots, underscores and hyphens"}),
		field("Partitions", h("input", {name: "partitions", type: "number", min: 1, value: 1})),
		field("Keep for (retention.ms)", h("input", {name: "retention", placeholder: "7d"}),
			{hint: "Empty: the broker's default"}),
	];
	let name;
	const made = await ask("New topic", fields, {verb: "Create", send: form => {
		name = form.get("name");
		const settings = form.get("retention") ? {"retention.ms": form.get("retention")} : {};
		return post("/topics", {name, partitions: Number(form.get("partitions")), settings});
	}});
	if (made)
		location.hash = `#/topics/${segment(name)}`;
}

export function topics(main) {
	const search = h("input", {type: "search", maxlength: 249, oninput: () => list.restart()});
	const internal = h("input", {type: "checkbox", onchange: () => list.restart()});
	const list = new Paged("/topics", {
		rows: "topics",
		query: () => ({search: search.value, internal: internal.checked}),
		caption: "Topics",
		headings: ["Name", ["Partitions", {number: true}], ["Id", {class: "mono"}]],
		cells: each => [each.internal ? [link(each), " ", h("span", {class: "badge"}, "internal")] : link(each),
			count(each.partitions), each.id],
		empty: "No topic is called so. A client that writes to a missing topic makes it, and so does New topic.",
	});
	fill(main, heading("Topics", [action("New topic", create, "first")]),
		h("div", {class: "card fields"}, field("Search", search, {wide: true}),
			h("label", {}, internal, " The broker's own too")),
		list.element);
	list.load();
}
