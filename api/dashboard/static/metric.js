// The card of a metric: its value, its chart, its windows.

import { history, statistics } from "./api.js";
import { implausible } from "./catalogue.js";
import { Chart } from "./chart.js";
import { el, setText } from "./dom.js";
import { brief, compact, count, duration, moment, number, seconds, spaced, steady, unit } from "./format.js";
import { Series } from "./series.js";

const COLUMNS = { mean: "mean", min: "min", max: "max", stddev: "s.d.", count: "readings" };
const HISTORY_MIN_MS = 10_000;
const RETRY_MS = 3_000;
const LAG_SHOWN_S = 300;

// Charts are loaded one after the other: the server limits how many it reads at the same time.
let queue = Promise.resolve();
const inTurn = (load) => (queue = queue.then(load, load));

export class Metric {
  constructor(device, name, window, endS) {
    this.device = device;
    this.name = name;
    this.window = window;
    this.series = new Series();
    this.current = el("span", { class: "current" }, "–");
    this.unit = el("span", { class: "unit" });
    this.average = el("span", { class: "average" });
    this.difference = el("span", { class: "difference" });
    this.warning = el("p", { class: "odd", role: "status" });
    this.note = el("p", { class: "note", role: "status" });
    this.host = el("div", { class: "chart", role: "img" });
    this.rows = new Map();
    this.body = el("tbody");
    const title = el("h2", { title: name }, spaced(name));
    this.element = el("section", { class: "card metric", "aria-label": name },
      el("header", {}, title, el("p", { class: "now" }, this.current, this.unit),
        el("p", { class: "against" }, this.average, this.difference), this.warning),
      this.host, this.legend(), this.note, this.table());
    this.showWindow(window, endS);
  }

  legend() {
    const entry = (kind, text) => el("li", { class: kind }, text);
    this.slotText = entry("mean", "");
    this.band = entry("band", "min to max");
    return el("ul", { class: "legend", "aria-hidden": "true" },
      entry("line", "current"), entry("dashes", "average of the newest readings"), this.slotText, this.band);
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
    for (const [name, window] of Object.entries(metric.windows)) this.showRow(name, window);
  }

  showRow(name, window) {
    if (!this.rows.has(name)) this.addRow(name);
    const cells = this.rows.get(name);
    for (const column of Object.keys(COLUMNS)) {
      setText(cells[column], column === "count" ? compact(window.count) : brief(window[column]));
      cells[column].title = number(window[column]);
    }
  }

  addRow(name) {
    const cells = {};
    for (const column of Object.keys(COLUMNS)) cells[column] = el("td");
    const row = el("tr", { class: this.rowClass(name) },
      el("th", { scope: "row" }, name), ...Object.values(cells));
    this.rows.set(name, { ...cells, row });
    this.body.append(row);
  }

  /** The rows are all up to now. */
  rowClass(name) {
    return name === this.window && this.endS === null ? "chosen" : "";
  }

  /** Show another window, up to now or to `endS`. */
  showWindow(window, endS) {
    this.window = window;
    this.endS = endS;
    for (const [name, { row }] of this.rows) row.className = this.rowClass(name);
    const until = endS === null ? "the last" : `until ${moment(endS)}:`;
    this.host.setAttribute("aria-label", `Chart of ${this.name} over ${until} ${window}; the table below has the numbers`);
    this.series.seed(0, []);
    setText(this.note, "");
    this.fetch();
  }

  /** After a reconnect: readings in between are only in the history. */
  resume() {
    this.fetch();
  }

  /** Fetch the history of the window, and again after half of a slot. */
  fetch() {
    const { window, endS } = this;
    clearTimeout(this.timer);
    const isCurrent = () => !this.hasEnded && window === this.window && endS === this.endS;
    const again = (ms) => {
      clearTimeout(this.timer);
      if (isCurrent()) this.timer = setTimeout(() => this.fetch(), ms);
    };
    inTurn(async () => {
      if (!isCurrent()) return;
      try {
        await this.load(window, endS, isCurrent);
        if (endS === null) again(Math.max(HISTORY_MIN_MS, this.series.slotS * 500));
      } catch (error) {
        if (!isCurrent()) return;
        setText(this.note, error.message);
        again(RETRY_MS);
      }
    });
  }

  async load(window, endS, isCurrent) {
    const span = endS === null ? { window } : { from: endS - seconds(window), to: endS };
    const found = await history(this.device, this.name, span);
    if (!isCurrent()) return;
    this.series.seed(found.slot_ms, found.slots);
    setText(this.slotText, `mean of ${duration(found.slot_ms / 1000)}`);
    this.showGaps(found);
    if (endS !== null || found.complete_until === undefined) return;
    const statistic = await statistics(this.device, this.name, window);
    if (isCurrent()) this.showRow(window, statistic);
  }

  /** What the history lacks. */
  showGaps({ complete_until: until, gaps = [] }) {
    const parts = [];
    const untilS = Date.parse(until) / 1000;
    if (until === null) parts.push("The history is still empty.");
    else if (Date.now() / 1000 - untilS > LAG_SHOWN_S) parts.push(`The history is complete until ${moment(untilS)}.`);
    const readings = gaps.reduce((sum, gap) => sum + gap.readings, 0);
    if (gaps.length) parts.push(`Up to ${count(readings)} readings of ${moment(Date.parse(gaps[0].from) / 1000)} and later are missing.`);
    setText(this.note, parts.join(" "));
  }

  draw(nowS) {
    const range = implausible(this.name, this.value);
    this.element.classList.toggle("implausible", range !== "");
    setText(this.warning, range ? `Not plausible: ${range}` : "");
    if (!this.chart && globalThis.uPlot && this.host.clientWidth) this.chart = new Chart(this.host);
    const lengthS = seconds(this.window);
    const columns = this.series.columns(nowS - lengthS, this.endS === null ? Infinity : nowS);
    this.chart?.draw(columns, nowS, lengthS);
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
