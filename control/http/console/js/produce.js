/* One message into a topic. */
import {h, field, ask, notice} from "./dom.js";
import {post, segment} from "./api.js";
import {count} from "./format.js";

/* "name: value" a line. */
function headers(text) {
	return text.split("\n").filter(line => line.trim()).map(line => {
		const at = line.indexOf(":");
		if (at < 1)
			throw new Error(`A header is "name: value", not "${line}".`);
		return {name: line.slice(0, at).trim(), value: line.slice(at + 1).trim()};
	});
}

export async function produce(topic) {
	const fields = [
		field("Key", h("input", {name: "key"}), {hint: "Empty: none"}),
		field("Value", h("textarea", {name: "value"})),
		field("Headers", h("textarea", {name: "headers", rows: 2}), {hint: "One a line: name: value"}),
		field("Partition", h("input", {name: "partition", type: "number", min: 0, max: topic.partitions - 1}),
			{hint: "Empty: by the key"}),
	];
	let stored;
	const done = await ask(`Produce to ${topic.name}`, fields, {verb: "Produce", send: async form => {
		const message = {key: form.get("key") || null, value: form.get("value"),
			headers: headers(form.get("headers"))};
		if (form.get("partition") !== "")
			message.partition = Number(form.get("partition"));
		[stored] = (await post(`/topics/${segment(topic.name)}/messages`, {messages: [message]})).messages;
		if (stored.error)
			throw new Error(stored.error);
	}});
	if (done)
		notice(`Stored in partition ${stored.partition} at offset ${count(stored.offset)}.`);
}
