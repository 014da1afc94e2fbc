// A uPlot chart in the colours of the page.

import { clock, day, isToday, moment, steady, tickLabels } from "./format.js";

const HEIGHT = 206;
const uplot = (...given) => new globalThis.uPlot(...given);

function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return { line: of("--line"), mean: of("--mean"), band: of("--band"), text: of("--quiet"), grid: of("--grid") };
}

function axis({ text, grid }, size, rest) {
  return {
    stroke: text, font: "12px system-ui, sans-serif", size, gap: 4,
    grid: { stroke: grid, width: 1 }, ticks: { show: false }, ...rest,
  };
}

/** A value without neighbours has no line, so it is drawn as a point. */
const dots = (colour, size) => ({ show: true, size, width: 0, stroke: colour, fill: colour, filter: isolated });

function isolated(plot, column) {
  const values = plot.data[column];
  const has = (i) => values[i] !== null && values[i] !== undefined;
  return values.flatMap((_, i) => (has(i) && !has(i - 1) && !has(i + 1) ? [i] : []));
}

function options(width) {
  const colour = colours();
  const spanGaps = false;
  return {
    width, height: HEIGHT, legend: { show: false },
    cursor: { points: { size: 7 }, drag: { x: false, y: false } },
    padding: [8, 26, 0, 0],
    scales: { x: { time: true, auto: false }, y: { range: yRange } },
    axes: [
      axis(colour, 42, { space: 74, values: (plot, splits) => timeLabels(splits, plot) }),
      axis(colour, widthOf, { space: 36, values: (_, splits) => (splits.length ? tickLabels(splits) : []) }),
    ],
    series: [
      {},
      { label: "current", stroke: colour.line, width: 2, spanGaps, points: dots(colour.line, 7) },
      { label: "average", stroke: colour.mean, width: 1.5, dash: [6, 4], spanGaps, points: dots(colour.mean, 4) },
      { label: "mean", stroke: colour.line, width: 1.25, spanGaps, points: dots(colour.line, 4) },
      { label: "max", stroke: "transparent", spanGaps, points: { show: false } },
      { label: "min", stroke: "transparent", spanGaps, points: { show: false } },
    ],
    bands: [{ series: [4, 5], fill: colour.band }],
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

/** The y range with a margin of a tenth; a flat line is centred. */
function yRange(_, low, high) {
  if (low === null || high === null) return [0, 1];
  const margin = (high - low) * 0.1 || Math.abs(high) * 0.05 || 1;
  return [low - margin, high + margin];
}

export class Chart {
  constructor(host) {
    this.host = host;
    this.plot = uplot(options(host.clientWidth), [[], [], [], [], [], []], host);
    this.tip = document.createElement("output");
    this.tip.className = "tip";
    host.append(this.tip);
    this.plot.hooks.setCursor = [() => this.showTip()];
    this.resized = new ResizeObserver(() => {
      if (host.clientWidth) this.plot.setSize({ width: host.clientWidth, height: HEIGHT });
    });
    this.resized.observe(host);
  }

  draw(columns, nowS, lengthS) {
    this.plot.batch(() => {
      this.plot.setData(columns, true);
      this.plot.setScale("x", { min: nowS - lengthS, max: nowS });
    });
  }

  /** Show the values under the cursor. */
  showTip() {
    const { idx } = this.plot.cursor;
    const [t, current, average, mean, high, low] = this.plot.data.map((column) => column[idx ?? -1]);
    const has = (value) => value !== null && value !== undefined;
    const time = has(t) && (isToday(t) ? clock(t, true) : moment(t));
    if (has(current)) {
      this.tip.textContent = `${time}   ${steady(current, average)}   average ${steady(average, current)}`;
    } else if (has(mean)) {
      this.tip.textContent = `${time}   mean ${steady(mean)}   ${steady(low, mean)} to ${steady(high, mean)}`;
    } else {
      this.tip.textContent = "";
    }
  }

  end() {
    this.resized.disconnect();
    this.plot.destroy();
    this.tip.remove();
  }
}
