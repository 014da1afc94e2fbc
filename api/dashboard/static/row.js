// A row of the list of devices.

import { firingOf } from "./alerts.js";
import { implausible, shown, unitOf } from "./catalogue.js";
import { el, setText } from "./dom.js";
import { age, spaced, steady } from "./format.js";
import { Spark } from "./spark.js";

const SHOWN = 3; // a narrow page hides the last of them
const CURRENT = "current_";

export const metricsOf = (reading) => Object.keys(reading)
  .filter((key) => key.startsWith(CURRENT)).map((key) => key.slice(CURRENT.length));

export class Row {
  constructor(device) {
    this.device = device;
    this.reading = null;
    this.spark = new Spark();
    this.dot = el("span", { class: "dot", "aria-hidden": "true" });
    this.values = el("div");
    this.more = [el("div", { class: "more wide" }), el("div", { class: "more narrow" })];
    this.state = el("span", { class: "state" });
    this.cells = new Map();
    this.warning = el("div", { class: "odd" });
    const link = el("a", { href: `#/device/${encodeURIComponent(device)}` }, device);
    this.element = el("tr", { class: "waiting" },
      el("th", { scope: "row" }, el("div", { class: "name" }, this.dot, link), this.warning),
      el("td", { class: "values" }, this.values),
      el("td", { class: "trend" }, this.spark.canvas),
      el("td", { class: "updated" }, this.state));
  }

  /** Update from a reading, unless a newer one is shown. */
  update(reading, now) {
    if (this.reading && reading.recorded_at < this.reading.recorded_at) return;
    this.recordedAt = now - reading.age_ms;
    this.stale = reading.stale;
    const names = metricsOf(reading);
    if (!names.length) return;
    const isNew = reading.recorded_at !== this.reading?.recorded_at;
    this.reading = reading;
    if (isNew) this.spark.add(reading[CURRENT + (names.includes(this.first) ? this.first : names[0])]);
  }

  /** Show a metric first: the one that the list is sorted by. */
  promote(metric) {
    if (metric === this.first) return;
    this.first = metric;
    this.spark.values = [];
    const value = this.reading?.[CURRENT + metric];
    if (value !== undefined && value !== null) this.spark.add(value);
  }

  draw() {
    if (!this.reading) return;
    const all = metricsOf(this.reading);
    const names = all.includes(this.first) ? [this.first, ...all.filter((name) => name !== this.first)] : all;
    const visible = names.slice(0, SHOWN);
    if (visible.join() !== [...this.cells.keys()].join()) this.build(visible);
    for (const name of visible) this.drawValue(name);
    const odd = names.filter((name) => implausible(name, this.reading[CURRENT + name]));
    const firing = firingOf(this.device).map((alert) => alert.rule);
    setText(this.warning, [firing.length && `Firing: ${firing.join(", ")}`,
      odd.length && `Not plausible: ${odd.map(spaced).join(", ")}`].filter(Boolean).join(" · "));
    this.more.forEach((element, i) => {
      const count = names.length - SHOWN + i; // a narrow page shows one less
      setText(element, count > 0 ? `+${count}` : "");
    });
    this.spark.draw();
  }

  drawValue(name) {
    const [current, unit, average] = this.cells.get(name);
    const { of } = shown(name);
    const [now, mean] = [of(this.reading[CURRENT + name]), of(this.reading[`average_${name}`])];
    setText(current, steady(now, mean));
    setText(unit, unitOf(name));
    current.classList.toggle("odd", implausible(name, this.reading[CURRENT + name]) !== "");
    setText(average, `avg ${steady(mean, now)}`);
  }

  /** Create the cells of the metrics. */
  build(names) {
    this.cells.clear();
    const values = names.map((name) => {
      const cells = ["current", "unit", "average"].map((kind) => el("span", { class: kind }));
      this.cells.set(name, cells);
      return el("div", { class: "value" }, el("span", { class: "label", title: name }, spaced(name)), ...cells);
    });
    this.values.replaceChildren(...values, ...this.more);
  }

  updateAge(now) {
    const text = age(now - this.recordedAt);
    this.element.className = this.stale ? "stale" : "fresh";
    setText(this.state, this.stale ? `no readings for ${text}` : `${text} ago`);
  }
}
