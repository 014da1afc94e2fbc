// A row of the list of devices.

import { el, setText } from "./dom.js";
import { age, spaced, steady } from "./format.js";
import { implausible } from "./ranges.js";
import { Spark } from "./spark.js";

const SHOWN = 3;
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

  /** Update from a list entry (age only) or a reading. */
  update(reading, now) {
    this.recordedAt = now - reading.age_ms;
    this.stale = reading.stale;
    const names = metricsOf(reading);
    if (!names.length) return;
    this.reading = reading;
    this.spark.add(reading[CURRENT + names[0]]);
  }

  draw() {
    if (!this.reading) return;
    const names = metricsOf(this.reading);
    for (const name of names.slice(0, SHOWN)) {
      if (!this.cells.has(name)) this.add(name);
      const [current, average] = this.cells.get(name);
      const [now, mean] = [this.reading[CURRENT + name], this.reading[`average_${name}`]];
      setText(current, steady(now, mean));
      current.classList.toggle("odd", implausible(name, now) !== "");
      setText(average, `avg ${steady(mean, now)}`);
    }
    const odd = names.filter((name) => implausible(name, this.reading[CURRENT + name]));
    setText(this.warning, odd.length ? `Not plausible: ${odd.map(spaced).join(", ")}` : "");
    const more = names.length - SHOWN;
    if (more > 0) this.addMore(more);
    this.spark.draw();
  }

  add(name) {
    const current = el("span", { class: "current" });
    const average = el("span", { class: "average" });
    this.cells.set(name, [current, average]);
    const value = el("div", { class: "value" },
      el("span", { class: "label", title: name }, spaced(name)), current, average);
    this.values.insertBefore(value, this.more ?? null);
  }

  addMore(count) {
    if (!this.more) this.values.append(this.more = el("div", { class: "more" }));
    setText(this.more, `+${count}`);
  }

  updateAge(now) {
    const text = age(now - this.recordedAt);
    this.element.className = this.stale ? "stale" : "fresh";
    setText(this.state, this.stale ? `no readings for ${text}` : `${text} ago`);
  }
}
