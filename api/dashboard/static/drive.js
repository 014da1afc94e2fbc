// The driver view: some values of one device, large enough for a phone on a dashboard. It keeps
// the screen on where the browser allows that.

import { firingOf, setTitle } from "./alerts.js";
import { implausible, loadCatalogue, shown, unitOf } from "./catalogue.js";
import { el, setText } from "./dom.js";
import { age, spaced, steady } from "./format.js";
import { listen } from "./live.js";
import { deviceHash } from "./route.js";
import { metricsOf } from "./row.js";

const TILES_MAX = 4;
const DRAW_MS = 200;

export class Drive {
  constructor(main, wanted, onState) {
    this.device = wanted.device;
    this.tiles = new Map();
    this.build(main);
    this.apply(wanted);
    this.timer = setInterval(() => this.draw(), DRAW_MS);
    this.close = listen({ device: this.device }, {
      onReading: (reading) => this.update(reading),
      onState: (state, error) => onState(state, error),
      devices: () => [this.device],
    });
    this.awake = () => !document.hidden && navigator.wakeLock?.request("screen").then((lock) => { this.lock = lock; }, () => {});
    document.addEventListener("visibilitychange", this.awake);
    this.awake();
    loadCatalogue();
  }

  build(main) {
    setTitle(`${this.device} · Tributary`);
    document.body.classList.add("driving");
    this.state = el("p", { class: "driving-state", role: "status" });
    this.board = el("div", { class: "board" }, el("p", { class: "hint" }, "Waiting for readings …"));
    this.choices = el("div", { class: "choices" });
    const full = el("button", { class: "button", type: "button" }, "Full screen");
    full.addEventListener("click", () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()));
    full.hidden = !document.fullscreenEnabled;
    main.replaceChildren(
      el("div", { class: "driving-top" }, el("h1", {}, this.device), this.state,
        el("details", {}, el("summary", { class: "button" }, "Values"), this.choices),
        full, el("a", { class: "button", href: deviceHash(this.device) }, "Exit")),
      this.board);
  }

  /** Show the metrics of the URL; without any, the first ones of the device. */
  apply({ fields }) {
    this.chosen = (fields.get("metrics") ?? "").split(",").filter(Boolean).slice(0, TILES_MAX);
    if (this.reading) this.layOut();
  }

  update(reading) {
    const isOther = metricsOf(reading).join() !== (this.reading ? metricsOf(this.reading).join() : null);
    this.reading = reading;
    this.recordedAt = performance.now() - reading.age_ms;
    if (isOther) this.layOut();
    this.draw();
  }

  layOut() {
    const all = metricsOf(this.reading);
    const chosen = this.chosen.filter((name) => all.includes(name));
    const names = chosen.length ? chosen : all.slice(0, TILES_MAX);
    this.tiles = new Map(names.map((name) => {
      const [value, unit] = [el("span", { class: "large" }), el("span", { class: "unit" })];
      const warning = el("p", { class: "odd" });
      return [name, { value, unit, warning, tile: el("section", { class: "tile", "aria-label": name },
        el("h2", {}, spaced(name)), el("p", { class: "reading" }, value, unit), warning) }];
    }));
    this.board.replaceChildren(...[...this.tiles.values()].map(({ tile }) => tile));
    this.board.dataset.tiles = names.length;
    this.choices.replaceChildren(...all.map((name) => {
      const box = el("input", { type: "checkbox", value: name, checked: names.includes(name) });
      box.addEventListener("change", () => this.choose());
      box.disabled = !box.checked && names.length >= TILES_MAX;
      return el("label", {}, box, spaced(name));
    }));
  }

  choose() {
    const names = [...this.choices.querySelectorAll("input:checked")].map((box) => box.value);
    location.hash = deviceHash(this.device, { metrics: names.join() }, "drive");
  }

  draw() {
    if (!this.reading || document.hidden) return;
    const text = age(performance.now() - this.recordedAt);
    const { stale } = this.reading;
    document.body.classList.toggle("driving-stale", stale);
    const firing = firingOf(this.device).map((alert) => `${spaced(alert.metric)}: ${alert.rule}`);
    setText(this.state, [stale && `no readings for ${text}`, ...firing].filter(Boolean).join(", "));
    for (const [name, { value, unit, warning, tile }] of this.tiles) {
      const current = this.reading[`current_${name}`];
      const { of } = shown(name);
      setText(value, steady(of(current), of(this.reading[`average_${name}`])));
      value.style.setProperty("--characters", Math.max(1, value.textContent.length));
      setText(unit, unitOf(name));
      const odd = implausible(name, current);
      setText(warning, odd ? `Not plausible: ${odd}` : "");
      tile.classList.toggle("implausible", odd !== "");
    }
  }

  end() {
    this.close();
    clearInterval(this.timer);
    document.removeEventListener("visibilitychange", this.awake);
    this.lock?.release().catch(() => {});
    document.body.classList.remove("driving", "driving-stale");
  }
}
