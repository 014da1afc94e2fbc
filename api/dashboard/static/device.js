// The view of one device: a card with a chart per metric.

import { device as fetchDevice } from "./api.js";
import { loadCatalogue } from "./catalogue.js";
import { el, setText, prefersReducedMotion } from "./dom.js";
import { age, seconds } from "./format.js";
import { mayHaveMissed, listen } from "./live.js";
import { Metric } from "./metric.js";
import { Period, ranges } from "./period.js";
import { lastList } from "./route.js";
import { metricsOf } from "./row.js";

const DRAW_MS = 200;
const REDUCED_DRAW_MS = 1_000;
const DETAIL_MS = 2_000;
const WINDOWS = ["1m", "15m", "1h", "24h"];
const CHOSEN = "tributary-window";

export class Device {
  constructor(main, device, onState) {
    this.device = device;
    this.metrics = new Map();
    this.windows = ranges(WINDOWS);
    this.chosen = sessionStorage.getItem(CHOSEN) ?? WINDOWS[0];
    this.build(main);
    this.timers = [
      setInterval(() => this.draw(), prefersReducedMotion() ? REDUCED_DRAW_MS : DRAW_MS),
      setInterval(() => this.loadDetails(), DETAIL_MS),
    ];
    this.onColours = () => this.metrics.forEach((metric) => metric.recolour());
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.scheme.addEventListener("change", this.onColours);
    this.close = listen({ device }, {
      onReading: (reading) => this.update(reading),
      onState: (state, error) => {
        if (state === "live" && mayHaveMissed(this.state)) this.metrics.forEach((each) => each.resume());
        this.state = state;
        onState(state, error);
      },
      devices: () => [device],
    });
    this.loadDetails();
    loadCatalogue();
  }

  build(main) {
    document.title = `${this.device} · Tributary`;
    this.badge = el("p", { class: "badge", role: "status" });
    this.updated = el("p", { class: "updated" });
    this.choices = el("fieldset", { class: "windows" });
    this.period = new Period({
      lengthS: () => seconds(this.chosen),
      newestS: () => this.newestS,
      onChange: () => this.reload(),
    });
    this.cards = el("div", { class: "cards" });
    this.hint = el("p", { class: "hint" }, "Loading …");
    main.replaceChildren(
      el("a", { class: "back", href: lastList() }, "‹ All devices"),
      el("div", { class: "title" }, el("h1", {}, this.device), this.badge, this.updated),
      el("div", { class: "time" }, this.choices, this.period.element), this.hint, this.cards);
    this.showWindows(this.windows);
  }

  /** Show the windows of the server as radio buttons. */
  showWindows(windows) {
    this.windows = windows;
    if (!windows.includes(this.chosen)) this.chosen = windows[0];
    this.choices.replaceChildren(el("legend", { class: "visually-hidden" }, "Window of the charts"),
      ...windows.map((name) => {
        const input = el("input", { type: "radio", name: "window", value: name, checked: name === this.chosen });
        input.addEventListener("change", () => {
          this.chosen = name;
          sessionStorage.setItem(CHOSEN, name);
          this.reload();
        });
        return el("label", {}, input, el("span", {}, name));
      }));
  }

  /** Show another range or time. */
  reload() {
    this.metrics.forEach((metric) => metric.showWindow(this.chosen, this.period.endS));
    this.draw();
  }

  update(reading) {
    this.hint.hidden = true;
    const now = performance.now();
    this.recordedAt = now - reading.age_ms;
    this.stale = reading.stale;
    const recordedS = Date.parse(reading.recorded_at) / 1000;
    this.newestS = recordedS + 1; // a second later, so that a chart that ends there includes it
    // The server time as derived from a reading; the browser clock may be wrong.
    this.serverS = recordedS + reading.age_ms / 1000 - now / 1000;
    for (const name of metricsOf(reading)) {
      this.metric(name).update(recordedS, reading[`current_${name}`], reading[`average_${name}`]);
    }
    this.draw();
  }

  metric(name) {
    if (!this.metrics.has(name)) {
      const metric = new Metric(this.device, name, this.chosen, this.period.endS);
      this.metrics.set(name, metric);
      this.cards.append(metric.element);
    }
    return this.metrics.get(name);
  }

  /** Load what live readings do not contain: windows, units, the age of each metric. */
  async loadDetails() {
    if (document.hidden) return;
    const found = await fetchDevice(this.device).catch((error) => error);
    if (this.hasEnded) return;
    if (found instanceof Error) {
      if (found.status === 404 && !this.metrics.size) {
        this.hint.hidden = false;
        setText(this.hint, "This device has no readings yet. They will appear here.");
      }
      return;
    }
    for (const [name, metric] of Object.entries(found.metrics)) {
      const windows = ranges(Object.keys(metric.windows));
      if (windows.join() !== this.windows.join()) this.showWindows(windows);
      this.metric(name).showDetails(metric);
    }
  }

  draw() {
    if (this.recordedAt === undefined || document.hidden) return;
    const text = age(performance.now() - this.recordedAt);
    this.badge.className = this.stale ? "badge stale" : "badge fresh";
    setText(this.badge, this.stale ? "Stale" : "Reporting");
    setText(this.updated, this.stale ? `no readings for ${text}` : `updated ${text} ago`);
    this.period.offer((performance.now() - this.recordedAt) / 1000);
    const nowS = this.period.endS ?? this.serverS + performance.now() / 1000;
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
