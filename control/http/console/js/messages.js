/* Messages of a partition: from an offset, a time or the newest ones, by key or by what they
 * contain. */
import {h, fill, field, table} from "./dom.js";
import {get, segment} from "./api.js";
import {count, bytes, time} from "./format.js";
import {action, failure} from "./pages.js";

/* Of {text|base64, bytes, cut}, or null. */
function plain(value) {
	if (value === null)
		return "null";
	return value.text ?? `${value.base64} (base64)`;
}

function pretty(value) {
	try {
		return JSON.stringify(JSON.parse(value.text), null, 2);
	} catch {
		return plain(value);
	}
}

function details(message) {
	return h("td", {colspan: 5}, h("pre", {tabindex: "0", "aria-label": `Value at offset ${message.offset}`},
		pretty(message.value)),
	message.value?.cut && h("p", {class: "soft"}, `The first part of ${bytes(message.value.bytes)}.`),
	message.headers.length > 0 && table("Headers", ["Name", ["Value", {class: "value mono"}]],
		message.headers.map(each => [each.name, plain(each.value)])));
}

function rows(message) {
	const more = h("tr", {hidden: true});
	const toggle = h("button", {type: "button", class: "plain", "aria-expanded": "false",
		"aria-label": `Offset ${message.offset}, whole`, onclick: () => {
			more.hidden = !more.hidden;
			toggle.setAttribute("aria-expanded", String(!more.hidden));
			if (!more.hasChildNodes())
				fill(more, details(message));
		}}, count(message.offset));
	return [h("tr", {}, h("td", {class: "number"}, toggle), h("td", {}, time(message.timestamp_ms)),
		h("td", {class: "clip mono"}, message.key === null ? h("span", {class: "soft"}, "null") : plain(message.key)),
		h("td", {class: "clip mono"}, message.value === null ? h("span", {class: "soft"}, "null") : plain(message.value)),
		h("td", {class: "number"}, message.headers.length)), more];
}

/* What the form asks for, as the parameter `from`. */
function beginning(form) {
	const where = form.get("where");
	if (where === "newest")
		return `-${form.get("limit")}`;
	if (where === "time")
		return `@${new Date(form.get("time")).getTime()}`;
	return where === "offset" ? form.get("offset") || "0" : "0";
}

export function messages(into, topic, again, address) {
	const results = h("div", {class: "card", "aria-live": "polite"});
	const where = h("select", {name: "where", onchange: () => choose()},
		[["newest", "the newest"], ["oldest", "the oldest"], ["offset", "an offset"], ["time", "a time"]]
			.map(([value, text]) => h("option", {value}, text)));
	const offset = field("Offset", h("input", {name: "offset", type: "number", min: 0, value: 0}));
	const at = field("Time", h("input", {name: "time", type: "datetime-local", step: 1}));
	const form = h("form", {class: "card fields", onsubmit: event => {
		event.preventDefault();
		look(beginning(new FormData(form)));
	}},
	field("Partition", h("input", {name: "partition", type: "number", min: 0, max: topic.partitions - 1,
		value: address.get("partition") ?? 0})),
	field("From", where), offset, at,
	field("Key", h("input", {name: "key", maxlength: 1024})),
	field("Contains", h("input", {name: "contains", maxlength: 1024}), {wide: true}),
	field("At most", h("select", {name: "limit"}, [20, 50, 100, 500].map(each =>
		h("option", {value: each, selected: each === 50}, each)))),
	h("button", {class: "first"}, "Show"));

	function choose() {
		offset.hidden = where.value !== "offset";
		at.hidden = where.value !== "time";
		at.querySelector("input").required = !at.hidden;
	}

	function draw(page, asked) {
		const begin = page.messages[0]?.offset;
		const on = page.next !== null && action("Go on", () => look(page.next));
		if (!page.messages.length)
			return [h("p", {class: "empty"}, asked.key || asked.contains
				? `None of ${count(page.scanned_records)} messages fits.`
				: page.start === page.end ? "The partition is empty." : "No message lies there."), on];
		return [table(`Offsets from ${count(begin)}; the log has ${count(page.start)} to ${count(page.end)}`,
			[["Offset", {number: true}], "Time", "Key", "Value", ["Headers", {number: true}]],
			page.messages.flatMap(rows)),
		h("div", {class: "pager"}, on || h("span", {class: "soft"}, "This is the end."))];
	}

	async function look(from) {
		const data = new FormData(form);
		const asked = {partition: data.get("partition"), from, limit: data.get("limit"),
			key: data.get("key"), contains: data.get("contains")};
		results.setAttribute("aria-busy", "true");
		try {
			fill(results, draw(await get(`/topics/${segment(topic.name)}/messages`, asked), asked));
		} catch (error) {
			fill(results, failure(error));
		}
		results.removeAttribute("aria-busy");
	}

	choose();
	fill(into, h("div", {class: "stack"}, form, results));
	look(beginning(new FormData(form)));
}
