/* The broker's settings. */
import {h, fill, field} from "./dom.js";
import {get, patch} from "./api.js";
import {heading, show} from "./pages.js";
import {settingsTable} from "./settings.js";

export function config(main) {
	const search = h("input", {type: "search", oninput: () => draw()});
	const list = h("div", {class: "card"});
	let settings = [];

	const fits = each => `${each.name} ${each.help}`.toLowerCase().includes(search.value.toLowerCase());
	const draw = () => {
		const found = settings.filter(fits);
		fill(list, found.length ? settingsTable(found, {caption: "Settings of this broker", change})
			: h("p", {class: "empty"}, "No setting is called so."));
	};
	const load = () => show(list, async () => {
		({settings} = await get("/config"));
		draw();
		return [...list.childNodes];
	});
	async function change(name, value) {
		({settings} = await patch("/config", {settings: {[name]: value}}));
		draw();
	}

	fill(main, heading("Configuration"), h("p", {class: "soft"},
		"What can be changed here holds at once and stays over restarts; the rest stands in the configuration file."),
	h("div", {class: "card fields"}, field("Search", search, {wide: true})), list);
	load();
}
