/* The broker's /v1, as documented at /v1/openapi.json.  A refusal is an Error with the broker's
 * sentence. */

function target(path, query) {
	const pairs = Object.entries(query).filter(([, value]) =>
		value !== null && value !== undefined && value !== "");
	return `/v1${path}${pairs.length ? `?${new URLSearchParams(pairs)}` : ""}`;
}

async function send(method, path, query, body) {
	const options = {method, cache: "no-store"};
	if (body !== undefined) {
		options.headers = {"Content-Type": "application/json"};
		options.body = JSON.stringify(body);
	}
	let answer;
	try {
		answer = await fetch(target(path, query ?? {}), options);
	} catch {
		throw new Error("The broker does not answer.");
	}
	const document = answer.status === 204 ? null : await answer.json().catch(() => null);
	if (!answer.ok)
		throw new Error(document?.detail ?? `The broker answered ${answer.status}.`);
	return document;
}

export const get = (path, query) => send("GET", path, query);
export const post = (path, body) => send("POST", path, {}, body);
export const patch = (path, body) => send("PATCH", path, {}, body);
export const remove = path => send("DELETE", path, {});
export const segment = encodeURIComponent;
