/* One group: its members, what it has committed and how far it is behind; moving it. */
import {h, fill, field, ask, notice, table} from "./dom.js";
import {get, post, remove, segment} from "./api.js";
import {count} from "./format.js";
import {heading, action, show, figures, Paged} from "./pages.js";
import {state} from "./groups.js";

/* "orders 0, 1, 2; events 4" */
function assignment(member) {
	const topics = new Map();
	for (const {topic, partition} of member.assigned)
		topics.set(topic, [...topics.get(topic) ?? [], partition]);
	const text = [...topics].map(([topic, partitions]) => `${topic} ${partitions.join(", ")}`).join("; ");
	return member.assigned_count > member.assigned.length ? `${text}; ...` : text || "–";
}

function members(group) {
	if (!group.members.length)
		return h("p", {class: "empty"}, "No members. What was committed stays until it expires.");
	return table(`${count(group.member_count)} members`, ["Client", "Host", "Member", ["Assigned", {class: "value"}]],
		group.members.map(each => [each.client_id, each.host,
			h("span", {class: "mono"}, each.instance ?? each.id), assignment(each)]));
}

function place(form) {
	if (form.get("to") === "time")
		return `@${new Date(form.get("time")).getTime()}`;
	return form.get("to") === "offset" ? form.get("offset") : form.get("to");
}

function moveBody(form, dryRun) {
	const body = {to: place(form), dry_run: dryRun};
	if (form.get("topic"))
		body.topic = form.get("topic");
	if (form.get("topic") && form.get("partition") !== "")
		body.partitions = [Number(form.get("partition"))];
	return body;
}

async function move(name, again) {
	const to = h("select", {name: "to", onchange: () => choose()},
		[["earliest", "the first record"], ["latest", "the end"], ["time", "a time"], ["offset", "an offset"]]
			.map(([value, text]) => h("option", {value}, text)));
	const time = field("Time", h("input", {name: "time", type: "datetime-local", step: 1}));
	const offset = field("Offset", h("input", {name: "offset", type: "number", min: 0, value: 0}));
	const preview = h("div", {"aria-live": "polite"});
	const choose = () => {
		time.hidden = to.value !== "time";
		offset.hidden = to.value !== "offset";
		time.querySelector("input").required = !time.hidden;
	};
	const send = async (form, dryRun) => {
		const moved = await post(`/groups/${segment(name)}/offsets`, moveBody(form, dryRun));
		const failed = moved.offsets.find(each => each.error);
		if (failed)
			throw new Error(`${failed.topic} ${failed.partition}: ${failed.error}`);
		return moved;
	};
	const look = async event => {
		try {
			const moved = await send(new FormData(event.target.form), true);
			fill(preview, table("What would be committed", ["Topic", ["Partition", {number: true}],
				["Now", {number: true}], ["Then", {number: true}]], moved.offsets.slice(0, 100).map(each =>
				[each.topic, each.partition, count(each.former), count(each.offset)])));
		} catch (error) {
			fill(preview, h("p", {class: "problem"}, error.message));
		}
	};
	choose();
	const done = await ask(`Move ${name}`, [
		field("To", to), time, offset,
		field("Topic", h("input", {name: "topic", maxlength: 249}), {hint: "Empty: all that it has committed"}),
		field("Partition", h("input", {name: "partition", type: "number", min: 0}), {hint: "Empty: all of the topic"}),
		action("Look first", look), preview,
	], {verb: "Move", send: form => send(form, false)});
	if (done) {
		notice(`${name} goes on from there.`);
		again();
	}
}

async function destroy(name) {
	const fields = h("p", {}, "What ", h("strong", {}, name), " has committed is forgotten; no record is touched.");
	if (await ask(`Delete ${name}?`, fields, {verb: "Delete", danger: true,
		send: () => remove(`/groups/${segment(name)}`)})) {
		notice(`${name} is deleted.`);
		location.hash = "#/groups";
	}
}

function offsets(name) {
	return new Paged(`/groups/${segment(name)}/offsets`, {
		rows: "offsets",
		caption: "Committed offsets",
		headings: ["Topic", ["Partition", {number: true}], ["Committed", {number: true}],
			["End of the log", {number: true}], ["Lag", {number: true}], ["Metadata", {class: "value"}]],
		cells: each => [h("a", {href: `#/topics/${segment(each.topic)}/messages?partition=${each.partition}`}, each.topic),
			each.partition, count(each.offset), count(each.end), count(each.lag), each.metadata || "–"],
		empty: "It has committed nothing.",
	});
}

export function group(main, [name]) {
	const body = h("div", {class: "stack"});
	const draw = () => show(body, async () => {
		const found = await get(`/groups/${segment(name)}`);
		const list = offsets(name);
		await list.load();
		return [
			heading(name, [action("Move", () => move(name, draw), "first"),
				action("Delete", () => destroy(name), "danger")]),
			figures([["State", state(found.state)], ["Type", found.type], ["Assignor", found.assignor || "–"],
				["Epoch", count(found.epoch)], ["Members", count(found.member_count)],
				["Lag", count(list.page?.lag)]]),
			h("section", {class: "card", "aria-label": "Members"}, members(found)),
			list.element,
		];
	});
	fill(main, body);
	draw();
}
