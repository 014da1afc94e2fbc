// The points of one chart: what came live, and behind it the slots of the history. Pure.

const LIVE_MAX = 3_000;

export class Series {
  constructor() {
    this.live = []; // [t_s, current, average], ascending
    this.slots = []; // {from_s, to_s, mean, min, max}
  }

  add(t, current, average) {
    const last = this.live.at(-1);
    if (last && t < last[0]) return; // current never goes back; this is a late average
    if (last && t === last[0]) this.live.pop();
    this.live.push([t, current, average]);
    if (this.live.length > LIVE_MAX) this.thin();
  }

  /** Connected again: what lies between is not known. */
  gap() {
    const last = this.live.at(-1);
    if (last && last[1] !== null) this.live.push([last[0] + 0.001, null, null]);
  }

  /** Half as many points in the older half. */
  thin() {
    const half = this.live.length >> 1;
    this.live = [...this.live.slice(0, half).filter((_, i) => i % 2), ...this.live.slice(half)];
  }

  seed(slotMs, slots) {
    this.slots = slots.filter((slot) => slot.count > 0).map((slot) => {
      const from = Date.parse(slot.from) / 1000;
      return { from, to: from + slotMs / 1000, mean: slot.mean, min: slot.min, max: slot.max };
    });
  }

  /** uPlot's columns from a moment on: time, current, average, greatest and least of a slot. */
  columns(from) {
    const live = this.live;
    const begins = live.length ? live[0][0] : Infinity;
    const t = [], current = [], average = [], high = [], low = [];
    const push = (row) => [t, current, average, high, low].forEach((c, i) => c.push(row[i]));
    for (const slot of this.slots) {
      const middle = (slot.from + slot.to) / 2;
      if (slot.to < from || middle >= begins) continue;
      push([middle, null, slot.mean, slot.max, slot.min]);
    }
    let first = live.findIndex((point) => point[0] >= from);
    if (first < 0) first = Math.max(0, live.length - 1);
    for (let i = Math.max(0, first - 1); i < live.length; i += 1) {
      const [at, value, mean] = live[i];
      if (t.length && at <= t.at(-1)) continue;
      push([at, value, mean, null, null]);
    }
    return [t, current, average, high, low];
  }
}
