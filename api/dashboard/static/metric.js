// The card of a metric: its value, its chart, its windows.

import { history, statistics } from "./api.js";
import { implausible, limitOf, rangeOf, ruleOf, rulesOf, shown } from "./catalogue.js";
import { Chart } from "./chart.js";
import { el, setText } from "./dom.js";
import { brief, compact, count, duration, moment, number, spaced, steady, unit } from "./format.js";
import { isSame, lengthOf } from "./range.js";
import { Series } from "./series.js";

const COLUMNS = { mean: "mean", min: "min", max: "max", stddev: "s.d.", count: "readings" };
// Those of metrics for which the catalogue declares them.
const DECLARED = { p50: "p50", p95: "p95", p99: "p99", increase: "increase", rate: "per s" };
const DIFFERENCES = ["stddev", "increase", "rate"]; // the zero of the unit does not matter
const HISTORY_MIN_MS = 10_000;
const RETRY_MS = 3_000;
const LAG_SHOWN_S = 300;

// Charts are loaded one after the other: the server limits how many it reads at the same time.
let queue = Promise.resolve();
const inTurn = (load) => (queue = queue.then(load, load));

export class Metric {
  /** `actions`: what the user does in the chart, see `Chart`. */
  constructor(device, name, actions) {
    this.device = device;
    this.name = name;
    this.actions = actions;
    this.series = new Series();
    this.others = new Map(); // by device
    this.current = el("span", { class: "current" }, "–");
    this.unit = el("span", { class: "unit" });
    this.average = el("span", { class: "average" });
    this.difference = el("span", { class: "difference" });
    this.warning = el("p", { class: "odd", role: "status" });
    this.alerts = []; // that are not ok
    this.note = el("p", { class: "note", role: "status" });
    this.host = el("div", { class: "chart", role: "img" });
    this.legend = el("ul", { class: "legend", "aria-hidden": "true" });
    this.windows = new Map(); // as received
    this.rows = new Map();
    this.titles = COLUMNS;
    this.head = el("tr");
    this.body = el("tbody");
    this.element = el("section", { class: "card metric", "aria-label": name },
      el("header", {}, el("h2", { title: name }, spaced(name)),
        el("p", { class: "now" }, this.current, this.unit),
        el("p", { class: "against" }, this.average, this.difference), this.warning),
      this.host, this.legend, this.note, this.table());
  }

  table() {
    this.showColumns();
    return el("table", { class: "stats" },
      el("caption", { class: "visually-hidden" }, `Windows of ${this.name}`), el("thead", {}, this.head), this.body);
  }

  showColumns() {
    this.head.replaceChildren(...["last", ...Object.values(this.titles)].map((title) => el("th", { scope: "col" }, title)));
    this.rows.clear();
    this.body.replaceChildren();
  }

  showLegend() {
    const entry = (kind, text) => text && el("li", { class: kind }, text);
    const [low, high] = this.limits() ?? [];
    this.legend.replaceChildren(...[
      entry("line", "current"), entry("dashes", "average of the newest readings"),
      entry("mean", this.series.slotS && `mean of ${duration(this.series.slotS)}`), entry("band", "min to max"),
      entry("limit", this.limits() && `plausible ${number(low)} to ${number(high)}`),
      ...rulesOf(this.name, this.device).map((rule) => entry("rule", `${rule.name}: ${limitOf(rule)}`)),
      entry("firing", this.alerts.some((alert) => alert.state === "firing") && "firing"),
      ...[...this.others.keys()].map((name, i) => entry(`other other-${i}`, name)),
    ].filter(Boolean));
  }

  /** How values are shown; the unit of the server comes with the details. */
  get conversion() {
    return shown(this.name, this.unitName);
  }

  /** The plausible range in the unit that is shown, or null. */
  limits() {
    const range = rangeOf(this.name);
    return range && range.map(this.conversion.of);
  }

  showAlerts(alerts) {
    this.alerts = alerts;
    this.showLegend();
  }

  /** For the chart: limits of rules, those of firing ones, and since when these fire, in s. */
  rules() {
    const { of } = this.conversion;
    const firing = this.alerts.filter((alert) => alert.state === "firing");
    const rules = rulesOf(this.name, this.device);
    const limit = (rule) => of(rule.limit);
    return {
      limits: rules.map(limit),
      reached: rules.filter((rule) => firing.some((alert) => alert.rule === rule.name)).map(limit),
      firing: firing.map((alert) => Date.parse(alert.since) / 1000),
    };
  }

  update(atS, current, average) {
    this.series.add(atS, current, average);
    [this.value, this.averageValue] = [current, average];
    this.showValue();
  }

  updateOther(device, atS, current) {
    this.others.get(device)?.add(atS, current, null);
  }

  showValue() {
    const { of, unit: name } = this.conversion;
    setText(this.unit, unit(name));
    if (this.value === undefined) return;
    const [current, average] = [of(this.value), of(this.averageValue)];
    setText(this.current, steady(current, average));
    setText(this.average, `average ${steady(average, current)}`);
    const away = current - average;
    const sign = away > 0 ? "▲" : away < 0 ? "▼" : "=";
    setText(this.difference, `${sign} ${steady(Math.abs(away), average)}`);
  }

  showDetails(metric) {
    this.unitName = metric.unit;
    this.element.classList.toggle("stale", metric.stale);
    const windows = Object.entries(metric.windows);
    const declared = Object.entries(DECLARED).filter(([name]) => windows.some(([, window]) => name in window));
    const columns = { ...COLUMNS, ...Object.fromEntries(declared) };
    if (Object.keys(columns).length !== Object.keys(this.titles).length) {
      this.titles = columns;
      this.showColumns();
    }
    for (const [name, window] of windows) this.showRow(name, window);
    this.showValue();
  }

  showRow(name, window) {
    this.windows.set(name, window);
    if (!this.rows.has(name)) this.addRow(name);
    const cells = this.rows.get(name);
    const { of, factor } = this.conversion;
    for (const column of Object.keys(this.titles)) {
      const value = window[column] ?? null;
      if (column === "count") setText(cells[column], compact(value));
      else {
        const converted = DIFFERENCES.includes(column) && value !== null ? value * factor : of(value);
        setText(cells[column], brief(converted));
        cells[column].title = number(converted);
      }
    }
  }

  addRow(name) {
    const cells = {};
    for (const column of Object.keys(this.titles)) cells[column] = el("td");
    const row = el("tr", { class: this.rowClass(name) },
      el("th", { scope: "row" }, name), ...Object.values(cells));
    this.rows.set(name, { ...cells, row });
    this.body.append(row);
  }

  /** The rows are all up to now. */
  rowClass(name) {
    return name === this.range?.window ? "chosen" : "";
  }

  /** Show everything in the units that are chosen now. */
  showUnits() {
    this.showValue();
    for (const [name, window] of this.windows) this.showRow(name, window);
    this.showLegend();
  }

  /** Show another time span, and compare with other devices. */
  showRange(range, others) {
    this.range = range;
    for (const [name, { row }] of this.rows) row.className = this.rowClass(name);
    const text = range.window ? `the last ${range.window}` : `${moment(range.from)} to ${moment(range.to)}`;
    this.host.setAttribute("aria-label", `Chart of ${this.name} over ${text}; the table below has the numbers`);
    this.series.seed(0, []);
    this.others = new Map(others.map((name) => [name, this.others.get(name) ?? new Series()]));
    this.others.forEach((series) => series.seed(0, []));
    this.recolour();
    setText(this.note, "");
    this.showLegend();
    this.fetch();
  }

  /** Fetch the history of the time span, and again after half of a slot. */
  fetch() {
    const { range } = this;
    clearTimeout(this.timer);
    const isCurrent = () => !this.hasEnded && isSame(range, this.range);
    const again = (ms) => {
      clearTimeout(this.timer);
      if (isCurrent()) this.timer = setTimeout(() => this.fetch(), ms);
    };
    inTurn(async () => {
      if (!isCurrent()) return;
      try {
        await this.load(range, isCurrent);
        if (range.window) again(Math.max(HISTORY_MIN_MS, this.series.slotS * 500));
      } catch (error) {
        if (!isCurrent()) return;
        setText(this.note, error.message);
        if (error.status !== 400) again(RETRY_MS); // 400: slots of this time span are not kept
      }
    });
  }

  async load(range, isCurrent) {
    const { window, from, to } = range;
    const span = window ? { window } : { from, to };
    const found = await history(this.device, this.name, span);
    if (!isCurrent()) return;
    this.series.seed(found.slot_ms, found.slots);
    this.showGaps(found);
    this.showLegend();
    for (const [device, series] of this.others) {
      const other = await history(device, this.name, span).catch((error) => {
        if (error.status !== 404) throw error;
        return found; // it has no such metric
      });
      if (!isCurrent()) return;
      series.seed(other.slot_ms, other === found ? [] : other.slots);
    }
    if (!window || found.complete_until === undefined) return;
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
    const texts = this.alerts.map((alert) => `${alert.rule} is ${alert.state}${ruleOf(alert) ? `: ${limitOf(ruleOf(alert))}` : ""}`);
    setText(this.warning, [...texts, range && `Not plausible: ${range}`].filter(Boolean).join(" · "));
    if (!this.chart && globalThis.uPlot && this.host.clientWidth) {
      this.chart = new Chart(this.host, [...this.others.keys()], { limits: () => this.limits(), rules: () => this.rules(), ...this.actions });
    }
    const end = this.range.window ? nowS : this.range.to;
    const [own, ...others] = this.columns(end);
    this.chart?.draw(own, others.map(([times, current, , mean]) => [times, current.map((value, i) => value ?? mean[i])]), end, lengthOf(this.range));
  }

  /** The columns of the device, then those of the compared ones, in the units that are shown. */
  columns(end) {
    const { of, factor, offset } = this.conversion;
    const isSameUnit = factor === 1 && offset === 0;
    return [this.series, ...this.others.values()].map((series) => {
      const [times, ...values] = series.columns(end - lengthOf(this.range), this.range.window ? Infinity : end);
      return [times, ...(isSameUnit ? values : values.map((column) => column.map(of)))];
    });
  }

  /** What a CSV file has of this metric. */
  csvLines(nowS) {
    const columns = this.columns(this.range.window ? nowS : this.range.to);
    return [this.device, ...this.others.keys()].map((device, i) => (
      { device, metric: this.name, unit: this.conversion.unit, columns: columns[i] }));
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
