// A uPlot chart in the colours of the page. Dragging zooms, with Shift it moves, and the cursor is
// that of all charts.

import { clock, day, isToday, moment, steady, tickLabels } from "./format.js";

const HEIGHT = 206;
const SYNC = "tributary";
const DRAG_PX = 6;
const BASE = 6; // columns of the device itself: time, current, average, mean, max, min
const DASHES = [[], [8, 3], [3, 3], [10, 3, 2, 3]];
const uplot = (...given) => new globalThis.uPlot(...given);
const has = (value) => value !== null && value !== undefined;

function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return {
    line: of("--line"), mean: of("--mean"), band: of("--band"), text: of("--quiet"), grid: of("--grid"),
    bad: of("--bad"), warn: of("--warn"), outside: of("--outside"), others: [0, 1, 2, 3].map((i) => of(`--other-${i}`)),
  };
}

function axis({ text, grid }, size, rest) {
  return {
    stroke: text, font: "12px system-ui, sans-serif", size, gap: 4,
    grid: { stroke: grid, width: 1 }, ticks: { show: false }, ...rest,
  };
}

/** A value without neighbours has no line, so it is drawn as a point. */
const dots = (colour, size) => ({ show: true, size, width: 0, stroke: colour, fill: colour, filter: isolated });

/** Values between gaps; undefined is the time of another device, and no gap. */
function isolated(plot, column) {
  const values = plot.data[column];
  const found = [];
  let [length, last] = [0, 0]; // of the run of values
  for (let i = 0; i <= values.length; i += 1) {
    if (has(values[i])) {
      length += 1;
      last = i;
    } else if (values[i] === null || i === values.length) {
      if (length === 1) found.push(last);
      length = 0;
    }
  }
  return found;
}

function lines(colour, others) {
  const spanGaps = false;
  const edge = { stroke: "transparent", spanGaps, points: { show: false } };
  return [
    {},
    { label: "current", stroke: colour.line, width: 2, spanGaps, points: dots(colour.line, 7) },
    { label: "average", stroke: colour.mean, width: 1.5, dash: [6, 4], spanGaps, points: dots(colour.mean, 4) },
    { label: "mean", stroke: colour.line, width: 1.25, spanGaps, points: dots(colour.line, 4) },
    { label: "max", ...edge },
    { label: "min", ...edge },
    ...others.map((label, i) => ({
      label, stroke: colour.others[i], width: 1.75, dash: DASHES[i], spanGaps, points: dots(colour.others[i], 5),
    })),
  ];
}

function options(width, others, hooks, onMove, rules) {
  const colour = colours();
  return {
    width, height: HEIGHT, legend: { show: false },
    cursor: {
      points: { size: 7 }, drag: { x: true, y: false, setScale: false, dist: DRAG_PX },
      sync: { key: SYNC, setSeries: false },
      bind: { mousedown: (plot, _, zoom) => (event) => (event.shiftKey ? move(plot, event, onMove) : zoom(event)), dblclick: () => null },
    },
    padding: [8, 26, 0, 0],
    scales: { x: { time: true, auto: false }, y: { range: (_, low, high) => yRange(low, high, rules()) } },
    axes: [
      axis(colour, 42, { space: 74, values: (plot, splits) => timeLabels(splits, plot) }),
      axis(colour, widthOf, { space: 36, values: (_, splits) => (splits.length ? tickLabels(splits) : []) }),
    ],
    series: lines(colour, others),
    bands: [{ series: [4, 5], fill: colour.band }],
    hooks: { ...hooks, drawClear: [(plot) => hooks.drawClear(plot, colour)] },
  };
}

const LONG_S = 2 * 86_400;
const length = ({ scales: { x } }) => x.max - x.min;
const CHARACTER_PX = 7;
const widthOf = (_, labels) => Math.max(40, 14 + CHARACTER_PX * Math.max(0, ...(labels ?? []).map((label) => label.length)));

/** Times; below them the date, where it changes or is not today's. */
export function timeLabels(splits, plot) {
  if (length(plot) > LONG_S) return splits.map(day);
  return splits.map((at, i) => {
    const isNew = i ? day(at) !== day(splits[i - 1]) : !isToday(at) || !isToday(splits.at(-1));
    return clock(at, length(plot) < 300) + (isNew ? `\n${day(at)}` : "");
  });
}

/** The y range of values and of `reached` limits, with a margin of a tenth; a flat line is centred. */
function yRange(lowest, highest, { reached }) {
  if (lowest === null || highest === null) return [0, 1];
  const shown = [lowest, highest, ...reached];
  const [low, high] = [Math.min(...shown), Math.max(...shown)];
  const margin = (high - low) * 0.1 || Math.abs(high) * 0.05 || 1;
  return [low - margin, high + margin];
}

/** Move the time with the pointer; `onMove` gets the share of the width. */
function move(plot, event, onMove) {
  const end = ({ clientX }) => {
    const px = clientX - event.clientX;
    if (Math.abs(px) > DRAG_PX) onMove(-px / plot.over.clientWidth);
  };
  addEventListener("mouseup", end, { once: true });
}

/** Colour the time since rules are firing, and draw their limits. */
function drawRules(plot, { limits, firing }, colour) {
  const { ctx: context, bbox: { left, top, width, height } } = plot;
  context.save();
  context.fillStyle = colour.outside;
  for (const since of firing) {
    const x = Math.max(left, plot.valToPos(since, "x", true));
    if (x < left + width) context.fillRect(x, top, left + width - x, height);
  }
  context.strokeStyle = colour.warn;
  context.lineWidth = 2;
  context.setLineDash([10, 4]);
  for (const at of limits.map((limit) => Math.round(plot.valToPos(limit, "y", true)))) {
    if (at < top || at > top + height) continue;
    context.beginPath();
    context.moveTo(left, at);
    context.lineTo(left + width, at);
    context.stroke();
  }
  context.restore();
}

/** Colour what is not plausible, and draw the limits. */
function drawLimits(plot, [low, high], colour) {
  const { ctx: context, bbox: { left, top, width, height } } = plot;
  const y = (value) => Math.min(top + height, Math.max(top, plot.valToPos(value, "y", true)));
  context.save();
  context.fillStyle = colour.outside;
  context.strokeStyle = colour.bad;
  context.setLineDash([2, 4]);
  for (const [value, edge] of [[high, top], [low, top + height]]) {
    if (!has(value)) continue;
    const at = y(value);
    if (at === edge) continue;
    context.fillRect(left, Math.min(at, edge), width, Math.abs(edge - at));
    context.beginPath();
    context.moveTo(left, at);
    context.lineTo(left + width, at);
    context.stroke();
  }
  context.restore();
}

export class Chart {
  /** `limits()`: the plausible range or null; `rules()`: `Metric.rules`; `onZoom(from, to)`, `onMove(share)`, `onReset()`. */
  constructor(host, others, { limits, rules, onZoom, onMove, onReset }) {
    this.host = host;
    this.others = others;
    const select = (plot) => {
      const { left, width } = plot.select;
      if (width < DRAG_PX) return;
      plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
      onZoom(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
    };
    const drawClear = (plot, colour) => {
      if (!plot.data[0].length) return;
      if (limits()) drawLimits(plot, limits(), colour);
      drawRules(plot, rules(), colour);
    };
    const columns = Array.from({ length: BASE + others.length }, () => []);
    this.plot = uplot(options(host.clientWidth, others, { setSelect: [select], drawClear }, onMove, rules), columns, host);
    this.plot.over.addEventListener("dblclick", onReset);
    this.tip = document.createElement("output");
    this.tip.className = "tip";
    host.append(this.tip);
    this.plot.hooks.setCursor = [() => this.showTip()];
    this.resized = new ResizeObserver(() => {
      if (host.clientWidth) this.plot.setSize({ width: host.clientWidth, height: HEIGHT });
    });
    this.resized.observe(host);
  }

  /** `columns` of the device; `others`: times and values of each compared device. */
  draw(columns, others, nowS, lengthS) {
    const data = others.length ? globalThis.uPlot.join([columns, ...others]) : columns;
    this.plot.batch(() => {
      this.plot.setData(data, true);
      this.plot.setScale("x", { min: nowS - lengthS, max: nowS });
    });
  }

  /** Show the values under the cursor. */
  showTip() {
    const { idx } = this.plot.cursor;
    const [t, current, average, mean, high, low, ...others] = this.plot.data.map((column) => column[idx ?? -1]);
    const parts = has(t) ? [isToday(t) ? clock(t, true) : moment(t)] : [];
    if (has(current)) parts.push(`${steady(current, average)}`, `average ${steady(average, current)}`);
    else if (has(mean)) parts.push(`mean ${steady(mean)}`, `${steady(low, mean)} to ${steady(high, mean)}`);
    others.forEach((value, i) => has(value) && parts.push(`${this.others[i]} ${steady(value)}`));
    this.tip.textContent = parts.length > 1 ? parts.join("   ") : "";
  }

  end() {
    this.resized.disconnect();
    this.plot.destroy();
    this.tip.remove();
  }
}
