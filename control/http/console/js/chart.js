/* Lines over time, as SVG, with figures beside it for who does not see it. */
import {h, fill, svg} from "./dom.js";

const WIDTH = 600;
const HEIGHT = 150;

/* Values are drawn from left to right, the newest at the right end; null leaves a gap. */
function line(values, most, top) {
	let path = "";
	let down = false;
	values.forEach((value, i) => {
		if (value === null) {
			down = false;
			return;
		}
		const x = WIDTH * (most - values.length + i) / Math.max(most - 1, 1);
		const y = HEIGHT - 4 - (HEIGHT - 8) * Math.min(value / top, 1);
		path += `${down ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
		down = true;
	});
	return path;
}

/* 1, 2 or 5 times a power of ten, at or above. */
function roundUp(value) {
	const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)));
	return [1, 2, 5, 10].map(each => each * power).find(each => each >= value * 0.999);
}

export class Chart {
	/* `top`: the scale's end, null for one that fits. */
	constructor(title, names, {format, most = 120, top = null}) {
		Object.assign(this, {names, format, most, top});
		this.values = names.map(() => []);
		this.paths = names.map((_, i) => svg("path", {class: `series-${i % 4 + 1}`}));
		const picture = svg("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none",
			"aria-hidden": "true"});
		picture.append(svg("line", {class: "axis", x1: 0, x2: WIDTH, y1: HEIGHT - 4, y2: HEIGHT - 4}),
			svg("line", {class: "axis", x1: 0, x2: WIDTH, y1: 4, y2: 4}), ...this.paths);
		this.scale = h("div", {class: "scale", "aria-hidden": "true"});
		this.legend = h("div", {class: "legend"});
		this.element = h("section", {class: "card chart", "aria-label": title},
			h("h2", {}, title), this.legend, this.scale, picture);
		this.draw();
	}

	/* One value a line. */
	push(values) {
		values.forEach((value, i) => {
			this.values[i].push(value);
			this.values[i].splice(0, this.values[i].length - this.most);
		});
		this.draw();
	}

	newest(i) {
		const value = this.values[i].at(-1) ?? null;
		return value === null ? "–" : this.format(value);
	}

	draw() {
		const top = this.top ?? roundUp(Math.max(1, ...this.values.flat()));
		this.values.forEach((values, i) => this.paths[i].setAttribute("d", line(values, this.most, top)));
		fill(this.scale, h("span", {}, this.format(top)), h("span", {}, "last two minutes"));
		fill(this.legend, this.names.map((name, i) => h("span", {},
			h("span", {class: `swatch series-${i % 4 + 1}`}), name, " ",
			h("strong", {}, this.newest(i)))));
	}
}
