/* Settings of a topic or the broker: what holds, from where, and changing it. */
import {h, field, ask, table} from "./dom.js";

async function edit(setting, change) {
	const value = h("input", {name: "value", value: setting.value ?? ""});
	const original = setting.value ?? "";
	const reset = h("input", {type: "checkbox", name: "reset", onchange: () => {
		value.disabled = reset.checked;
	}});
	await ask(setting.name, [setting.help ? h("p", {}, `${setting.help}.`) : null, field("Value", value),
		h("label", {}, reset, " Back to the default")], {verb: "Set", send: form => {
		if (form.has("reset"))
			return change(setting.name, null);
		return form.get("value") === original ? null : change(setting.name, form.get("value"));
	}});
}

/* `change(name, value)`: value null is the default; may throw. */
export function settingsTable(settings, {caption, change}) {
	return table(caption, ["Name", ["Value", {class: "value mono"}], "From", ""], settings.map(each => [
		[each.name, each.help && h("br", {}), each.help && h("span", {class: "soft help"}, each.help)],
		each.value ?? "–",
		each.source,
		each.read_only ? h("span", {class: "soft"}, "restart")
			: h("button", {type: "button", "aria-label": `Change ${each.name}`, onclick: () => edit(each, change)},
				"Change"),
	]));
}
