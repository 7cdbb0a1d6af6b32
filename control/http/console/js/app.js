/* The console: which page the address names, and its life.
 *
 * A page is a function (main, names, query) that fills `main` and may return a function that ends
 * it: what follows the `#` is its address, so that pages can be linked to and gone back to. */
import {fill, h} from "./dom.js";
import {get} from "./api.js";
import {failure} from "./pages.js";
import {overview} from "./overview.js";
import {topics} from "./topics.js";
import {topic} from "./topic.js";
import {groups} from "./groups.js";
import {group} from "./group.js";
import {shards} from "./shards.js";
import {dedup} from "./dedup.js";
import {config} from "./config.js";

const routes = [
	[/^\/$/, "Overview", overview],
	[/^\/topics$/, "Topics", topics],
	[/^\/topics\/([^/]+)(?:\/(messages|partitions|settings))?$/, "Topics", topic],
	[/^\/groups$/, "Groups", groups],
	[/^\/groups\/([^/]+)$/, "Groups", group],
	[/^\/shards$/, "Shards", shards],
	[/^\/dedup$/, "Dedup", dedup],
	[/^\/config$/, "Configuration", config],
];

const main = document.getElementById("main");
let end = null;

function address() {
	const [path, query] = (location.hash.slice(1) || "/").split("?");
	return {path, query: new URLSearchParams(query)};
}

function mark(name) {
	for (const link of document.querySelectorAll(".bar nav a")) {
		if (link.textContent === name)
			link.setAttribute("aria-current", "page");
		else
			link.removeAttribute("aria-current");
	}
	document.title = `${name} · Sluice`;
}

function go(event) {
	const {path, query} = address();
	const found = routes.find(([pattern]) => pattern.test(path));
	end?.();
	end = null;
	fill(main);
	mark(found?.[1] ?? "Not found");
	if (found)
		end = found[2](main, path.match(found[0]).slice(1).map(each => each && decodeURIComponent(each)),
			query) ?? null;
	else
		fill(main, h("h1", {}, "There is no such page"), h("p", {}, h("a", {href: "#/"}, "To the overview")));
	// Who came by a link goes on reading at the page's begin, as after any load of a page.
	if (event)
		main.focus({preventScroll: true});
	scrollTo(0, 0);
}

async function watch() {
	const state = document.getElementById("state");
	try {
		const cluster = await get("/cluster");
		state.textContent = `${cluster.host}:${cluster.port}`;
		state.className = `state ${cluster.ready ? "good" : "warn"}`;
	} catch {
		state.textContent = "not reachable";
		state.className = "state bad";
	}
	setTimeout(watch, 5000);
}

// Its address would be taken for a page's.
document.querySelector(".skip").addEventListener("click", event => {
	event.preventDefault();
	main.focus();
});
addEventListener("hashchange", go);
addEventListener("unhandledrejection", event => fill(main, failure(event.reason)));
go(null);
watch();
