/* Numbers, times and bytes for people. */

const grouped = new Intl.NumberFormat("en");

export const count = number => number === null || number === undefined ? "–" : grouped.format(number);

function scaled(number, base, units) {
	let at = 0;
	while (Math.abs(number) >= base && at < units.length - 1) {
		number /= base;
		at++;
	}
	return `${number >= 100 || at === 0 ? Math.round(number) : number.toFixed(1)}${units[at]}`;
}

export const bytes = number => scaled(number, 1024, [" B", " KiB", " MiB", " GiB", " TiB"]);
export const rate = number => scaled(number, 1000, ["", " k", " M", " G"]);
export const percent = share => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

export function duration(ms) {
	const units = [[86400000, "d"], [3600000, "h"], [60000, "min"], [1000, "s"]];
	const at = units.findIndex(([size]) => ms >= size);
	if (at < 0)
		return `${ms} ms`;
	const [size, name] = units[at];
	const rest = units[at + 1] ? Math.floor(ms % size / units[at + 1][0]) : 0;
	return `${Math.floor(ms / size)} ${name}${rest ? ` ${rest} ${units[at + 1][1]}` : ""}`;
}

/* "2026-01-31 12:00:00.123", of the browser's time zone. */
export function time(ms) {
	if (ms < 0)
		return "–";
	const date = new Date(ms - new Date(ms).getTimezoneOffset() * 60000);
	return date.toISOString().replace("T", " ").slice(0, 23);
}

export function nanoseconds(ns) {
	return scaled(ns, 1000, [" ns", " µs", " ms", " s"]);
}
