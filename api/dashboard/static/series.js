// The points of one chart: live readings, and history slots where there are no live readings.
// Pure.

const LIVE_MAX = 3_000;
const SLOTS_MAX = 10_000;

export class Series {
  constructor() {
    this.live = []; // [t_s, current, average of the newest readings], ascending
    this.slots = []; // {from_s, to_s, mean, min, max}, ascending
    this.slotS = 0; // 0: not loaded yet
  }

  add(t, current, average) {
    const last = this.live.at(-1);
    if (last && t < last[0]) return; // a late reading changes only the average
    if (last && t === last[0]) this.live.pop();
    this.live.push([t, current, average]);
    if (this.live.length > LIVE_MAX) this.thin();
  }

  /** Drop every other point of the older half. */
  thin() {
    const half = this.live.length >> 1;
    this.live = [...this.live.slice(0, half).filter((_, i) => i % 2), ...this.live.slice(half)];
  }

  seed(slotMs, slots) {
    this.slotS = slotMs / 1000;
    this.slots = slots.slice(-SLOTS_MAX).filter((slot) => slot.count > 0).map((slot) => {
      const from = Date.parse(slot.from) / 1000;
      return { from, to: from + this.slotS, mean: slot.mean, min: slot.min, max: slot.max };
    });
  }

  /**
   * uPlot's columns of a time span: time; current and average of live readings; mean, maximum and
   * minimum of slots. The average is over the newest readings and the mean over a slot, so they
   * are two lines.
   */
  columns(from, to = Infinity) {
    const rows = this.merged(from).filter((row) => row[0] <= to);
    const rowsWithGaps = [];
    rows.forEach((row, i) => {
      if (i && this.isGap(rows[i - 1][0], row[0])) {
        rowsWithGaps.push([(rows[i - 1][0] + row[0]) / 2, null, null, null, null, null]);
      }
      rowsWithGaps.push(row);
    });
    return [0, 1, 2, 3, 4, 5].map((column) => rowsWithGaps.map((row) => row[column]));
  }

  /** Live points and the slots without live points, by time. */
  merged(from) {
    const { live } = this;
    let next = live.findIndex((point) => point[0] >= from);
    next = Math.max(0, (next < 0 ? live.length : next) - 1); // one point earlier, so that the line starts at the edge
    const rows = [];
    const pushUntil = (end) => {
      const before = rows.length;
      for (; next < live.length && live[next][0] < end; next += 1) rows.push([...live[next], null, null, null]);
      return rows.length > before;
    };
    for (const slot of this.slots) {
      if (slot.to < from) continue;
      pushUntil(slot.from);
      if (!pushUntil(slot.to)) rows.push([(slot.from + slot.to) / 2, null, null, slot.mean, slot.max, slot.min]);
    }
    pushUntil(Infinity);
    return rows;
  }

  /** Whether at least one whole slot between two times has no readings. */
  isGap(before, after) {
    const { slotS } = this;
    return slotS > 0 && Math.floor(after / slotS) - Math.floor(before / slotS) > 1;
  }
}
