// The card of a metric: its value, its chart, its windows.

import { history } from "./api.js";
import { Chart } from "./chart.js";
import { el, setText } from "./dom.js";
import { compact, number, seconds, spaced, steady, unit } from "./format.js";
import { implausible } from "./ranges.js";
import { Series } from "./series.js";

const COLUMNS = { mean: "mean", min: "min", max: "max", stddev: "s.d.", count: "readings" };
const HISTORY_MIN_MS = 10_000;

export class Metric {
  constructor(device, name, window) {
    this.device = device;
    this.name = name;
    this.window = window;
    this.series = new Series();
    this.current = el("span", { class: "current" }, "–");
    this.unit = el("span", { class: "unit" });
    this.average = el("span", { class: "average" });
    this.difference = el("span", { class: "difference" });
    this.warning = el("p", { class: "odd", role: "status" });
    this.host = el("div", { class: "chart", role: "img" });
    this.rows = new Map();
    this.body = el("tbody");
    const title = el("h2", { title: name }, spaced(name));
    this.element = el("section", { class: "card metric", "aria-label": name },
      el("header", {}, title, el("p", { class: "now" }, this.current, this.unit),
        el("p", { class: "against" }, this.average, this.difference), this.warning),
      this.host, this.legend(), this.table());
    this.showWindow(window);
  }

  legend() {
    const entry = (kind, text) => el("li", { class: kind }, text);
    return el("ul", { class: "legend", "aria-hidden": "true" },
      entry("line", "current"), entry("dashes", "average"), entry("band", "min to max"));
  }

  table() {
    return el("table", { class: "stats" },
      el("caption", { class: "visually-hidden" }, `Windows of ${this.name}`),
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "last"),
        ...Object.values(COLUMNS).map((title) => el("th", { scope: "col" }, title)))),
      this.body);
  }

  update(atS, current, average) {
    this.series.add(atS, current, average);
    this.value = current;
    setText(this.current, steady(current, average));
    setText(this.average, `average ${steady(average, current)}`);
    const away = current - average;
    const sign = away > 0 ? "▲" : away < 0 ? "▼" : "=";
    setText(this.difference, `${sign} ${steady(Math.abs(away), average)}`);
  }

  showDetails(metric) {
    setText(this.unit, unit(metric.unit));
    this.element.classList.toggle("stale", metric.stale);
    for (const [name, window] of Object.entries(metric.windows)) {
      if (!this.rows.has(name)) this.addRow(name);
      const cells = this.rows.get(name);
      for (const column of Object.keys(COLUMNS)) {
        setText(cells[column], column === "count" ? compact(window.count) : number(window[column]));
      }
    }
  }

  addRow(name) {
    const cells = {};
    for (const column of Object.keys(COLUMNS)) cells[column] = el("td");
    const row = el("tr", { class: name === this.window ? "chosen" : "" },
      el("th", { scope: "row" }, name), ...Object.values(cells));
    this.rows.set(name, { ...cells, row });
    this.body.append(row);
  }

  /** Show another window. */
  showWindow(window) {
    this.window = window;
    for (const [name, { row }] of this.rows) row.className = name === window ? "chosen" : "";
    this.host.setAttribute("aria-label", `Chart of ${this.name} over the last ${window}; the table below has the numbers`);
    this.series.seed(0, []);
    this.fetch();
  }

  /** After a reconnect: readings in between are only in the history. */
  resume() {
    this.fetch();
  }

  /** Fetch the history of the window, and again after half of a slot. */
  async fetch() {
    const window = this.window;
    clearTimeout(this.timer);
    const found = await history(this.device, this.name, window).catch(() => null);
    if (this.hasEnded || window !== this.window || !found) return;
    this.series.seed(found.slot_ms, found.slots);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.fetch(), Math.max(HISTORY_MIN_MS, found.slot_ms / 2));
  }

  draw(nowS) {
    const range = implausible(this.name, this.value);
    this.element.classList.toggle("implausible", range !== "");
    setText(this.warning, range ? `Not plausible: ${range}` : "");
    if (!this.chart && globalThis.uPlot && this.host.clientWidth) this.chart = new Chart(this.host);
    this.chart?.draw(this.series.columns(nowS - seconds(this.window)), nowS, seconds(this.window));
  }

  recolour() {
    this.chart?.end();
    this.chart = null;
  }

  end() {
    this.hasEnded = true;
    clearTimeout(this.timer);
    this.chart?.end();
  }
}
