// The view of one device: a card with a chart per metric, all over the same time.

import { alertsOf, onAlerts, setTitle } from "./alerts.js";
import { device as fetchDevice } from "./api.js";
import { loadCatalogue } from "./catalogue.js";
import { Compare, OTHERS_MAX } from "./compare.js";
import { csv, download } from "./csv.js";
import { el, setText, prefersReducedMotion } from "./dom.js";
import { age } from "./format.js";
import { mayHaveMissed, listen } from "./live.js";
import { Metric } from "./metric.js";
import { changed, isSame, lengthOf, parseRange, rangeFields, RangePicker, ranges } from "./range.js";
import { deviceHash, isDevice, lastList } from "./route.js";
import { metricsOf } from "./row.js";
import { choose, onUnits, system, unitField } from "./units.js";

const DRAW_MS = 200;
const REDUCED_DRAW_MS = 1_000;
const DETAIL_MS = 2_000;
const WINDOWS = ["1m", "15m", "1h", "24h"];
const CHOSEN = "tributary-window";

export class Device {
  constructor(main, wanted, onState) {
    this.device = wanted.device;
    this.onState = onState;
    this.metrics = new Map();
    this.windows = ranges(WINDOWS);
    this.build(main);
    this.timers = [
      setInterval(() => this.draw(), prefersReducedMotion() ? REDUCED_DRAW_MS : DRAW_MS),
      setInterval(() => this.loadDetails(), DETAIL_MS),
    ];
    this.onColours = () => this.metrics.forEach((metric) => metric.recolour());
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.scheme.addEventListener("change", this.onColours);
    const showUnits = () => this.metrics.forEach((metric) => metric.showUnits());
    this.ends = [onUnits(showUnits), onAlerts(() => this.showAlerts())];
    this.apply(wanted);
    this.loadDetails();
    loadCatalogue().then(showUnits);
  }

  build(main) {
    setTitle(`${this.device} · Tributary`);
    this.badge = el("p", { class: "badge", role: "status" });
    this.updated = el("p", { class: "updated" });
    this.picker = new RangePicker({
      onChange: (range) => this.go(range, this.others),
      newestS: () => this.newestS,
      nowS: () => this.nowS(),
    });
    this.compare = new Compare(this.device, (others) => this.go(this.range, others));
    this.link = el("a", { class: "button" }, "Link to this view");
    this.link.addEventListener("click", (event) => this.copy(event));
    this.drive = el("a", { class: "button" }, "Driver view");
    const file = el("button", { class: "button", type: "button" }, "CSV");
    file.addEventListener("click", () => this.save());
    this.cards = el("div", { class: "cards" });
    this.hint = el("p", { class: "hint" }, "Loading …");
    main.replaceChildren(
      el("a", { class: "back", href: lastList() }, "‹ All devices"),
      el("div", { class: "title" }, el("h1", {}, this.device), this.badge, this.updated),
      this.picker.element,
      el("div", { class: "tools" }, this.compare.element, unitField(), file, this.link, this.drive),
      this.hint, this.cards);
    this.picker.showWindows(this.windows);
  }

  /** The time at the server, in seconds; the clock of the browser may be wrong. */
  nowS() {
    return (this.serverS ?? Date.now() / 1000 - performance.now() / 1000) + performance.now() / 1000;
  }

  hash(range, others, units = "") {
    return deviceHash(this.device, { ...rangeFields(range), with: others.join(), units });
  }

  go(range, others) {
    location.hash = this.hash(range, others);
  }

  /** Show what a URL says. */
  apply({ fields }) {
    choose(fields.get("units") ?? system());
    const stored = sessionStorage.getItem(CHOSEN) ?? "";
    const usual = this.windows.includes(stored) ? stored : this.windows[0];
    const range = parseRange(fields) ?? { window: usual, from: null, to: null };
    if (range.window) sessionStorage.setItem(CHOSEN, range.window);
    const others = [...new Set((fields.get("with") ?? "").split(","))]
      .filter((name) => isDevice(name) && name !== this.device).slice(0, OTHERS_MAX);
    const isOther = !this.others || others.join() !== this.others.join();
    if (!isOther && isSame(range, this.range)) return;
    [this.range, this.others] = [range, others];
    this.picker.show(range);
    this.compare.show(others);
    this.drive.href = deviceHash(this.device, {}, "drive");
    this.metrics.forEach((metric) => metric.showRange(range, others));
    if (isOther) this.watch();
    this.draw();
  }

  /** Subscribe to the device and those that it is compared with. */
  watch() {
    this.close?.();
    const names = [this.device, ...this.others];
    this.close = listen(names.map((name) => ["device", name]), {
      onReading: (reading) => this.update(reading),
      onState: (state, error) => {
        if (state === "live" && mayHaveMissed(this.state)) this.metrics.forEach((each) => each.fetch());
        this.state = state;
        this.onState(state, error);
      },
      devices: () => names,
    });
  }

  update(reading) {
    const now = performance.now();
    const recordedS = Date.parse(reading.recorded_at) / 1000;
    if (reading.device !== this.device) {
      this.metrics.forEach((metric, name) => {
        const value = reading[`current_${name}`];
        if (value !== undefined) metric.updateOther(reading.device, recordedS, value);
      });
      return;
    }
    this.hint.hidden = true;
    this.recordedAt = now - reading.age_ms;
    this.stale = reading.stale;
    this.newestS = recordedS + 1; // a second later, so that a chart that ends there includes it
    this.serverS = recordedS + reading.age_ms / 1000 - now / 1000;
    for (const name of metricsOf(reading)) {
      this.metric(name).update(recordedS, reading[`current_${name}`], reading[`average_${name}`]);
    }
    this.draw();
  }

  metric(name) {
    if (!this.metrics.has(name)) {
      const change = (by) => this.go(changed(this.range, by, this.nowS()), this.others);
      const metric = new Metric(this.device, name, {
        onZoom: (from, to) => {
          const zoom = (to - from) / lengthOf(this.range);
          const begin = (this.range.window ? this.nowS() : this.range.to) - lengthOf(this.range);
          change({ zoom, move: ((from + to) / 2 - begin) / lengthOf(this.range) - 0.5 });
        },
        onMove: (share) => change({ move: share }),
        onReset: () => change({ zoom: 2 }),
      });
      this.metrics.set(name, metric);
      this.cards.append(metric.element);
      metric.showRange(this.range, this.others);
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
    // The same for all metrics, except for those of which only the latest values are kept.
    const windows = ranges(Object.values(found.metrics)
      .map((metric) => Object.keys(metric.windows)).find((names) => names.length) ?? []);
    if (windows.join() !== this.windows.join() && Object.keys(found.metrics).length) {
      this.windows = windows;
      this.picker.showWindows(windows);
      if (this.range.window === WINDOWS[0] && !windows.includes(WINDOWS[0])) this.go({ window: windows[0] }, this.others);
    }
    for (const [name, metric] of Object.entries(found.metrics)) this.metric(name).showDetails(metric);
    this.showAlerts();
  }

  showAlerts() {
    const alerts = alertsOf(this.device);
    this.metrics.forEach((metric, name) => metric.showAlerts(alerts.filter((alert) => alert.metric === name)));
  }

  draw() {
    if (this.recordedAt === undefined || document.hidden) return;
    const text = age(performance.now() - this.recordedAt);
    this.badge.className = this.stale ? "badge stale" : "badge fresh";
    setText(this.badge, this.stale ? "Stale" : "Reporting");
    setText(this.updated, this.stale ? `no readings for ${text}` : `updated ${text} ago`);
    this.picker.offer((performance.now() - this.recordedAt) / 1000);
    this.link.href = this.hash(this.fixed(), this.others, system());
    this.metrics.forEach((metric) => metric.draw(this.nowS()));
  }

  /** The time span that is seen, which a window is not after a while. */
  fixed() {
    return changed(this.range, {}, this.nowS());
  }

  copy(event) {
    if (!navigator.clipboard) return; // the link is followed, and the URL can be copied
    event.preventDefault();
    navigator.clipboard.writeText(this.link.href).then(() => {
      setText(this.link, "Link copied");
      setTimeout(() => setText(this.link, "Link to this view"), 2_000);
    }, () => { location.href = this.link.href; });
  }

  save() {
    const lines = [...this.metrics.values()].flatMap((metric) => metric.csvLines(this.nowS()));
    download(`${this.device}.csv`, csv(lines));
  }

  end() {
    this.hasEnded = true;
    this.close?.();
    this.ends.forEach((end) => end());
    this.compare.end();
    this.timers.forEach(clearInterval);
    this.scheme.removeEventListener("change", this.onColours);
    this.metrics.forEach((metric) => metric.end());
  }
}
