/* Shards, their rings and their queues of the NIC, renewed every two seconds. */
import {h, fill, table} from "./dom.js";
import {get} from "./api.js";
import {count, bytes, percent} from "./format.js";
import {heading, figures, Ticker} from "./pages.js";

const number = {number: true};

function busy(share) {
	return h("span", {}, h("meter", {min: 0, max: 1, value: share, "aria-label": "Busy share"}), " ", percent(share));
}

function shardTable(answer) {
	return table("Shards", [["Shard", number], "Busy", ["Connections", number], ["Sessions", number],
		["Requests", number], ["Produced", number], ["Fetched", number], ["Files open", number]],
	answer.shards.map(({shard, busy_share, counters}) => [shard, busy(busy_share),
		count(counters.connections_open), count(counters.sessions_open), count(counters.requests),
		bytes(counters.produce_bytes), bytes(counters.fetch_bytes), count(counters.files_open)]));
}

function ringTable(answer) {
	const threads = [...answer.shards.map(each => [`shard ${each.shard}`, each.rings]),
		...Object.entries(answer.others)];
	return table("Rings, messages between threads", ["Thread", ["Sent", number], ["Received", number],
		["Waiting", number], [`Fullest, of ${count(answer.ring_slots)}`, number], ["Times full", number]],
	threads.map(([name, each]) => [name, count(each.sent), count(each.received), count(each.waiting),
		count(each.fullest), h("span", {class: each.full ? "warn" : null}, count(each.full))]));
}

function port(found) {
	return figures([["Port", found.device], ["Link", found.up ? `up${found.mbps ? `, ${count(found.mbps)} Mb/s` : ""}` : "down"],
		["Received", `${count(found.received)}, ${bytes(found.received_bytes)}`],
		["Sent", `${count(found.sent)}, ${bytes(found.sent_bytes)}`],
		["Missed", count(found.missed)], ["Without mbuf", count(found.no_mbuf)],
		["Errors", count(found.receive_errors + found.send_errors)]]);
}

function queueTable(shards) {
	const names = Object.keys(shards[0].queue);
	return table("NIC queues", [["Queue", number], ...names.map(name => [name.replaceAll("_", " "), number])],
		shards.map(each => [each.shard, ...names.map(name => count(each.queue[name]))]));
}

function nic(answer) {
	const queues = answer.shards.filter(each => each.queue);
	if (!answer.port)
		return h("p", {class: "empty"}, "No port of DPDK: clients come over the kernel's sockets (dpdk.port).");
	return [port(answer.port), queues.length ? queueTable(queues) : null];
}

function allCounters(answer) {
	const names = Object.keys(answer.shards[0].counters);
	return h("details", {}, h("summary", {}, "Everything that is counted"),
		table("Counters", ["Counter", ...answer.shards.map(each => [`Shard ${each.shard}`, number])],
			names.map(name => [h("code", {}, name), ...answer.shards.map(each => count(each.counters[name]))])));
}

export function shards(main) {
	const problem = h("div", {});
	const parts = [h("div", {class: "card"}), h("div", {class: "card"}), h("div", {class: "stack"})];
	const counters = h("div", {class: "card"});
	const ticker = new Ticker(2000, problem, async () => {
		const answer = await get("/shards");
		[shardTable, ringTable, nic].forEach((draw, i) => fill(parts[i], draw(answer)));
		// What somebody has opened and reads stays as it is.
		if (!counters.querySelector("[open]"))
			fill(counters, allCounters(answer));
	});
	fill(main, heading("Shards"), problem, parts, counters);
	return () => ticker.end();
}
