/* The overview: what this broker is and what it does right now. */
import {h, fill} from "./dom.js";
import {get} from "./api.js";
import {Chart} from "./chart.js";
import {count, bytes, rate, percent, duration, nanoseconds} from "./format.js";
import {heading, failure, figures, Ticker} from "./pages.js";

function charts() {
	return {
		requests: new Chart("Requests a second", ["requests"], {format: rate}),
		bytes: new Chart("Record batches a second", ["produced", "fetched"], {format: each => `${bytes(each)}/s`}),
		busy: new Chart("Busy share of the shards", ["mean", "busiest"], {format: percent, top: 1}),
		produce: new Chart("Produce, from request to answer", ["median", "99 %"], {format: nanoseconds}),
		commits: new Chart("Commits, with their flush", ["median", "99 %"], {format: nanoseconds}),
		connections: new Chart("Open now", ["connections", "datagram sessions"], {format: count}),
	};
}

/* The bound below which `share` of what came between two histograms lies; null: nothing came. */
function quantile(now, before, bounds, share) {
	const grown = now.buckets.map((each, i) => each - (before?.buckets[i] ?? 0));
	const all = grown.reduce((sum, each) => sum + each, 0);
	if (all <= 0)
		return null;
	let seen = 0;
	const at = grown.findIndex(each => (seen += each) >= share * all);
	return bounds[Math.min(at, bounds.length - 1)];
}

const quantiles = (now, before, bounds) => now
	? [quantile(now, before, bounds, 0.5), quantile(now, before, bounds, 0.99)] : [null, null];

const produceOf = stats => stats.apis.find(each => each.api === "Produce")?.answered;

function push(drawn, now, before) {
	const passed = now.at_ms - before.at_ms;
	const perSecond = name => (now.counters[name] - before.counters[name]) * 1000 / passed;
	const shares = now.busy_ns.map((each, i) => Math.min(1, (each - before.busy_ns[i]) / (passed * 1e6)));
	drawn.requests.push([perSecond("requests")]);
	drawn.bytes.push([perSecond("produce_bytes"), perSecond("fetch_bytes")]);
	drawn.busy.push([shares.reduce((sum, each) => sum + each, 0) / shares.length, Math.max(...shares)]);
	drawn.produce.push(quantiles(produceOf(now), produceOf(before), now.bounds_ns));
	drawn.commits.push(quantiles(now.commits, before.commits, now.bounds_ns));
	drawn.connections.push([now.counters.connections_open, now.counters.sessions_open]);
}

/* A broker that has started anew counts from nothing. */
const follows = (now, before) => before !== null && now.at_ms > before.at_ms &&
	now.busy_ns.length === before.busy_ns.length && now.counters.requests >= before.counters.requests;

async function tell(facts) {
	const cluster = await get("/cluster");
	fill(facts, figures([
		["Version", cluster.version],
		["Running for", duration(cluster.uptime_ms)],
		["Topics", count(cluster.topics)],
		["Partitions", count(cluster.partitions)],
		["Shards", `${cluster.shards}, ${cluster.io === "uring" ? "io_uring" : "plain I/O"}`],
		["Clients connect to", `${cluster.host}:${cluster.port}`],
	]));
}

export function overview(main) {
	const drawn = charts();
	const facts = h("div", {});
	const problem = h("div", {});
	let before = null;

	const ticker = new Ticker(1000, problem, async () => {
		const now = await get("/stats");
		if (follows(now, before))
			push(drawn, now, before);
		if (now.at_ms !== before?.at_ms)
			before = now;
	});
	fill(main, heading("Overview"), facts, problem,
		h("div", {class: "grid"}, Object.values(drawn).map(chart => chart.element)));
	tell(facts).catch(error => fill(facts, failure(error)));
	return () => ticker.end();
}
