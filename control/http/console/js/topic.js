/* One topic: its messages, partitions and settings. */
import {h, fill, field, ask, notice} from "./dom.js";
import {get, patch, remove, segment} from "./api.js";
import {count} from "./format.js";
import {heading, action, show, Paged} from "./pages.js";
import {messages} from "./messages.js";
import {produce} from "./produce.js";
import {settingsTable} from "./settings.js";

const tabs = [["messages", "Messages"], ["partitions", "Partitions"], ["settings", "Settings"]];

async function destroy(name) {
	const fields = h("p", {}, "All records of ", h("strong", {}, name), " are deleted, at once and for good.");
	if (await ask(`Delete ${name}?`, fields, {verb: "Delete", danger: true,
		send: () => remove(`/topics/${segment(name)}`)})) {
		notice(`${name} is deleted.`);
		location.hash = "#/topics";
	}
}

async function grow(topic, again) {
	const least = topic.partitions + 1;
	const fields = field("Partitions", h("input", {name: "partitions", type: "number", min: least, value: least}),
		{hint: "Records of a key may come to another partition from then on."});
	if (await ask("More partitions", fields, {verb: "Add", send: form =>
		patch(`/topics/${segment(topic.name)}`, {partitions: Number(form.get("partitions"))})}))
		again();
}

function partitions(into, topic, again) {
	const list = new Paged(`/topics/${segment(topic.name)}/partitions`, {
		rows: "partitions",
		caption: "Partitions",
		headings: [["Partition", {number: true}], ["Shard", {number: true}], ["First offset", {number: true}],
			["Next offset", {number: true}], ["Offsets", {number: true}], "", "State"],
		cells: each => [each.partition, each.shard, count(each.start), count(each.end),
			each.error ? null : count(each.end - each.start),
			h("a", {href: `#/topics/${segment(topic.name)}/messages?partition=${each.partition}`}, "messages"),
			each.error ? h("span", {class: "bad"}, each.error) : h("span", {class: "good"}, "online")],
		empty: "No partitions.",
	});
	fill(into, h("div", {class: "heading"}, h("div", {class: "actions"},
		topic.internal ? null : action("Add partitions", () => grow(topic, again)))), list.element);
	list.load();
}

function settings(into, topic, again) {
	fill(into, h("div", {class: "card"}, settingsTable(topic.settings, {
		caption: `Settings of ${topic.name}`,
		change: async (name, value) => {
			await patch(`/topics/${segment(topic.name)}`, {settings: {[name]: value}});
			again();
		},
	})));
}

export function topic(main, [name, tab], query) {
	const shown = tab ?? "messages";
	const body = h("div", {class: "stack"});
	const draw = () => show(body, async () => {
		const found = await get(`/topics/${segment(name)}`);
		const again = () => draw();
		const part = h("div", {});
		const views = {messages, partitions, settings};
		views[shown](part, found, again, query);
		return [
			heading(name, [action("Produce", () => produce(found), "first"),
				found.internal ? null : action("Delete", () => destroy(name), "danger")],
			`${count(found.partitions)} partition${found.partitions === 1 ? "" : "s"}`),
			h("nav", {class: "tabs", "aria-label": "Of this topic"}, tabs.map(([id, title]) =>
				h("a", {href: `#/topics/${segment(name)}/${id}`, "aria-current": id === shown ? "page" : null},
					title))),
			part,
		];
	});
	fill(main, body);
	draw();
}
