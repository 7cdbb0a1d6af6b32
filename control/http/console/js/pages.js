/* What pages share: a heading, a paged list, a failure in its place. */
import {h, fill, table} from "./dom.js";
import {get} from "./api.js";
import {count} from "./format.js";

export function heading(title, actions = [], badge = null) {
	return h("div", {class: "heading"}, h("h1", {}, title), badge && h("span", {class: "badge"}, badge),
		h("div", {class: "actions"}, actions));
}

export const action = (text, run, kind = null) =>
	h("button", {type: "button", class: kind, onclick: run}, text);

export const failure = error => h("p", {class: "problem", role: "alert"}, error.message);

export function figures(pairs) {
	return h("dl", {class: "figures"}, pairs.map(([name, value]) =>
		h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/* Fills `into` with what `make` resolves to, or with why there is nothing. */
export async function show(into, make) {
	into.setAttribute("aria-busy", "true");
	try {
		fill(into, await make());
	} catch (error) {
		fill(into, failure(error));
	}
	into.removeAttribute("aria-busy");
}

/* A list of /v1 page by page: `rows` is the name of its entries in the answer. */
export class Paged {
	constructor(path, {rows, query = () => ({}), caption, headings, cells, empty}) {
		Object.assign(this, {path, rows, query, caption, headings, cells, empty});
		this.trail = [null]; // `after` of each page up to this one
		this.element = h("div", {class: "card"});
	}

	restart() {
		this.trail = [null];
		return this.load();
	}

	load() {
		const wanted = this.wanted = {};
		return show(this.element, async () => {
			const page = await get(this.path, {limit: 50, ...this.query(), after: this.trail.at(-1)});
			// A later question has overtaken this one.
			return this.wanted === wanted ? this.draw(page) : [...this.element.childNodes];
		});
	}

	step(change) {
		change();
		this.load().then(() => this.element.querySelector(".scroll")?.focus());
	}

	draw(page) {
		this.page = page;
		const entries = page[this.rows];
		if (!entries.length && this.trail.length === 1)
			return h("p", {class: "empty"}, this.empty);
		const back = action("Previous", () => this.step(() => this.trail.pop()));
		const on = action("Next", () => this.step(() => this.trail.push(page.next)));
		back.disabled = this.trail.length === 1;
		on.disabled = page.next === null;
		return [table(this.caption, this.headings, entries.map(this.cells)),
			h("div", {class: "pager"}, back, on, h("span", {class: "soft"}, `Page ${this.trail.length}`,
				page.total === undefined ? "" : `, ${count(page.total)} in all`))];
	}
}

/* Calls `turn` at once and then every so often, and says in `problem` when it fails. */
export class Ticker {
	constructor(everyMs, problem, turn) {
		Object.assign(this, {everyMs, problem, turn, ended: false});
		this.run();
	}

	async run() {
		try {
			await this.turn();
			fill(this.problem);
		} catch (error) {
			fill(this.problem, failure(error));
		}
		if (!this.ended)
			setTimeout(() => this.ended || this.run(), this.everyMs);
	}

	end() {
		this.ended = true;
	}
}
