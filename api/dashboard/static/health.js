// The strip at the top: is what is sent also applied, by whom, and was anything lost?

import { status } from "./api.js";
import { el, say } from "./dom.js";
import { compact, count } from "./format.js";

const ROUND_MS = 2_000;
const LAG_MAX_S = 5;

const CELLS = {
  rate: ["Rate", "readings accepted a second"],
  lag: ["Lag", "how long the oldest reading that was accepted waits to be applied"],
  workers: ["Workers", "aggregators that are alive"],
  devices: ["Devices", "devices that have ever sent"],
  refused: ["Refused", "readings that were turned away because the backlog was full"],
  lost: ["Lost", "readings that a full stream dropped before they were applied"],
};

export class Health {
  constructor(list) {
    this.values = {};
    this.before = null;
    for (const [name, [title, meaning]] of Object.entries(CELLS)) {
      this.values[name] = el("dd", {}, "–");
      list.append(el("div", { class: "cell", title: meaning }, el("dt", {}, title), this.values[name]));
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
    say(value, state === "bad" || state === "late" ? `${text} !` : text);
    value.className = state || "";
  }
}
