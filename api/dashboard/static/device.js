// One device: a card with a chart for each metric.

import { device as ask } from "./api.js";
import { el, say, wantsStillness } from "./dom.js";
import { age } from "./format.js";
import { isBehind, listen } from "./live.js";
import { Metric } from "./metric.js";
import { loadRanges } from "./ranges.js";
import { metricsOf } from "./row.js";

const DRAW_MS = 200;
const STILL_DRAW_MS = 1_000;
const DETAIL_MS = 2_000;
const WINDOWS = ["1m", "15m", "1h", "24h"];
const CHOSEN = "tributary-window";

export class Device {
  constructor(main, device, onState) {
    this.device = device;
    this.metrics = new Map();
    this.windows = WINDOWS;
    this.chosen = sessionStorage.getItem(CHOSEN) ?? WINDOWS[0];
    this.build(main);
    this.timers = [
      setInterval(() => this.draw(), wantsStillness() ? STILL_DRAW_MS : DRAW_MS),
      setInterval(() => this.detail(), DETAIL_MS),
    ];
    this.onColours = () => this.metrics.forEach((metric) => metric.recolour());
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.scheme.addEventListener("change", this.onColours);
    this.close = listen({ device }, {
      onReading: (reading) => this.take(reading),
      onState: (state, error) => {
        if (state === "live" && isBehind(this.state)) this.metrics.forEach((each) => each.resume());
        this.state = state;
        onState(state, error);
      },
      devices: () => [device],
    });
    this.detail();
    loadRanges();
  }

  build(main) {
    document.title = `${this.device} · Tributary`;
    this.badge = el("p", { class: "badge", role: "status" });
    this.updated = el("p", { class: "updated" });
    this.choices = el("fieldset", { class: "windows" });
    this.cards = el("div", { class: "cards" });
    this.hint = el("p", { class: "hint" }, "Asking …");
    main.replaceChildren(
      el("a", { class: "back", href: "#/" }, "‹ All devices"),
      el("div", { class: "title" }, el("h1", {}, this.device), this.badge, this.updated),
      this.choices, this.hint, this.cards);
    this.choose(this.windows);
  }

  /** The windows that the server keeps, as a row of radio buttons. */
  choose(windows) {
    this.windows = windows;
    if (!windows.includes(this.chosen)) this.chosen = windows[0];
    this.choices.replaceChildren(el("legend", { class: "unseen" }, "Window of the charts"),
      ...windows.map((name) => {
        const input = el("input", { type: "radio", name: "window", value: name, checked: name === this.chosen });
        input.addEventListener("change", () => {
          this.chosen = name;
          sessionStorage.setItem(CHOSEN, name);
          this.metrics.forEach((metric) => metric.look(name));
        });
        return el("label", {}, input, el("span", {}, name));
      }));
  }

  take(reading) {
    this.hint.hidden = true;
    const now = performance.now();
    this.bornAt = now - reading.age_ms;
    this.stale = reading.stale;
    const bornS = Date.parse(reading.recorded_at) / 1000;
    // The clock of the server, as far as a reading tells it; that of the browser may be wrong.
    this.serverS = bornS + reading.age_ms / 1000 - now / 1000;
    for (const name of metricsOf(reading)) {
      this.metric(name).take(bornS, reading[`current_${name}`], reading[`average_${name}`]);
    }
    this.draw();
  }

  metric(name) {
    if (!this.metrics.has(name)) {
      const metric = new Metric(this.device, name, this.chosen);
      this.metrics.set(name, metric);
      this.cards.append(metric.element);
    }
    return this.metrics.get(name);
  }

  /** What is not pushed: windows, units, the age of each metric. */
  async detail() {
    if (document.hidden) return;
    const found = await ask(this.device).catch((error) => error);
    if (this.hasEnded) return;
    if (found instanceof Error) {
      if (found.status === 404 && !this.metrics.size) {
        this.hint.hidden = false;
        say(this.hint, "Nothing was recorded of this device yet. What it sends appears here.");
      }
      return;
    }
    for (const [name, metric] of Object.entries(found.metrics)) {
      const windows = Object.keys(metric.windows);
      if (windows.join() !== this.windows.join()) this.choose(windows);
      this.metric(name).detail(metric);
    }
  }

  draw() {
    if (this.bornAt === undefined || document.hidden) return;
    const text = age(performance.now() - this.bornAt);
    this.badge.className = this.stale ? "badge stale" : "badge fresh";
    say(this.badge, this.stale ? "Stale" : "Reporting");
    say(this.updated, this.stale ? `silent for ${text}` : `updated ${text} ago`);
    const nowS = this.serverS + performance.now() / 1000;
    this.metrics.forEach((metric) => metric.draw(nowS));
  }

  end() {
    this.hasEnded = true;
    this.close();
    this.timers.forEach(clearInterval);
    this.scheme.removeEventListener("change", this.onColours);
    this.metrics.forEach((metric) => metric.end());
  }
}
