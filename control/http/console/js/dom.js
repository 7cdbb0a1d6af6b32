/* Elements from JavaScript: text is only ever set as text, so that what is in records cannot become
 * markup. */

/* h("a", {href: "#/", class: "x"}, "text", child, null, [more]).  An attribute that is a function is
 * a listener ("onclick"), false or null leaves it out, true is without a value. */
export function h(name, attributes, ...children) {
	const element = document.createElement(name);
	for (const [key, value] of Object.entries(attributes ?? {})) {
		if (typeof value === "function")
			element.addEventListener(key.slice(2), value);
		else if (value !== false && value !== null && value !== undefined)
			element.setAttribute(key, value === true ? "" : value);
	}
	append(element, children);
	return element;
}

function append(element, children) {
	for (const child of children.flat(Infinity))
		if (child !== null && child !== undefined && child !== false)
			element.append(child);
}

export function fill(element, ...children) {
	element.replaceChildren();
	append(element, children);
	return element;
}

export function svg(name, attributes) {
	const element = document.createElementNS("http://www.w3.org/2000/svg", name);
	for (const [key, value] of Object.entries(attributes))
		element.setAttribute(key, value);
	return element;
}

export function notice(text) {
	const line = h("p", {}, text);
	document.getElementById("notices").append(line);
	setTimeout(() => line.remove(), 6000);
}

let nextId = 0;

/* A control with its label, and a hint that screen readers read with it. */
export function field(label, control, {hint = null, wide = false} = {}) {
	const id = control.id || `field-${++nextId}`;
	control.id = id;
	if (hint)
		control.setAttribute("aria-describedby", `${id}-hint`);
	return h("div", {class: wide ? "field wide" : "field"},
		h("label", {for: id}, label),
		control,
		hint && h("span", {class: "hint", id: `${id}-hint`}, hint));
}

/* ["Name", {number: true, class: "mono"}]: a heading, or one with the class of its cells. */
export function table(caption, headings, rows) {
	const columns = headings.map(each => Array.isArray(each) ? each : [each, {}]);
	const classOf = ([, {number, class: more}]) => [number && "number", more].filter(Boolean).join(" ") || null;
	const body = rows.map(cells => cells instanceof Node ? cells : h("tr", {},
		cells.map((cell, i) => h("td", {class: classOf(columns[i])}, cell ?? "–"))));
	return h("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": caption},
		h("table", {},
			h("caption", {}, caption),
			h("thead", {}, h("tr", {}, columns.map(each =>
				h("th", {scope: "col", class: each[1].number ? "number" : null}, each[0])))),
			h("tbody", {}, body)));
}

/* Asks with a form.  `send` gets its FormData and may throw, which is shown and keeps it open.
 * Resolves with whether it was sent. */
export function ask(title, fields, {send, verb, danger = false}) {
	return new Promise(resolve => {
		const problem = h("p", {class: "problem", role: "alert", hidden: true});
		const submit = h("button", {class: danger ? "danger" : "first"}, verb);
		const dialog = h("dialog", {"aria-label": title, onclose: () => {
			resolve(dialog.returnValue === "sent");
			dialog.remove();
		}});
		const form = h("form", {method: "dialog", onsubmit: async event => {
			event.preventDefault();
			submit.disabled = true;
			try {
				await send(new FormData(form));
				dialog.close("sent");
			} catch (error) {
				problem.textContent = error.message;
				problem.hidden = false;
				submit.disabled = false;
			}
		}},
		h("h2", {}, title), fields, problem,
		h("div", {class: "buttons"},
			h("button", {type: "button", onclick: () => dialog.close()}, "Cancel"),
			submit));
		dialog.append(form);
		document.body.append(dialog);
		dialog.showModal();
	});
}
