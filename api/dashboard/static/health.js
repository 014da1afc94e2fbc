// The strip at the top: rate, lag, aggregators, and lost or refused readings.

import { status } from "./api.js";
import { el, setText } from "./dom.js";
import { compact, count } from "./format.js";

const ROUND_MS = 2_000;
const LAG_MAX_S = 5;

const CELLS = {
  rate: ["Rate", "accepted readings per second"],
  lag: ["Lag", "age of the oldest reading not yet applied"],
  workers: ["Workers", "aggregators with a recent heartbeat"],
  devices: ["Devices", "devices with at least one reading"],
  refused: ["Refused", "readings rejected because the backlog was full"],
  lost: ["Lost", "accepted readings lost before they were applied"],
};

export class Health {
  constructor(list) {
    this.values = {};
    this.before = null;
    for (const [name, [title, description]] of Object.entries(CELLS)) {
      this.values[name] = el("dd", {}, "–");
      list.append(el("div", { class: "cell", title: description }, el("dt", {}, title), this.values[name]));
    }
  }

  async run() {
    for (;;) {
      if (!document.hidden) await status().then((now) => this.show(now), () => this.unknown());
      await new Promise((resolve) => setTimeout(resolve, ROUND_MS));
    }
  }

  show(now) {
    const at = performance.now();
    const before = this.before;
    this.before = { at, accepted: now.accepted };
    if (before && now.accepted >= before.accepted) {
      const rate = (now.accepted - before.accepted) / ((at - before.at) / 1000);
      this.set("rate", `${compact(rate)}/s`);
    }
    this.set("lag", `${now.lag_s.toFixed(1)} s`, now.lag_s > LAG_MAX_S && "late");
    this.set("workers", count(now.aggregators.length), !now.aggregators.length && "bad");
    this.set("devices", count(now.devices));
    this.set("refused", count(now.refused), now.refused > 0 && "late");
    this.set("lost", count(now.lost), now.lost > 0 && "bad");
  }

  unknown() {
    this.before = null;
    for (const name of Object.keys(CELLS)) this.set(name, "–", "unknown");
  }

  set(name, text, state) {
    const value = this.values[name];
    setText(value, state === "bad" || state === "late" ? `${text} !` : text);
    value.className = state || "";
  }
}
