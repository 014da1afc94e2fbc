// The list of devices: one page of it, one subscription for that page.

import { page } from "./api.js";
import { el, say, wantsStillness } from "./dom.js";
import { empty } from "./empty.js";
import { isBehind, listen } from "./live.js";
import { loadRanges } from "./ranges.js";
import { Row } from "./row.js";

const LIMIT = 50;
const DRAW_MS = 200;
const STILL_DRAW_MS = 1_000;
const AGE_MS = 1_000;
const LIST_MS = 30_000;
const BEFORE_MAX = 1_000; // pages that Previous goes back
const TYPING_MS = 200;

export class Fleet {
  constructor(main, wanted, onState) {
    this.main = main;
    this.onState = onState;
    this.rows = new Map();
    this.dirty = new Set();
    this.before = [];
    this.build();
    this.timers = [
      setInterval(() => this.draw(), wantsStillness() ? STILL_DRAW_MS : DRAW_MS),
      setInterval(() => this.grow(), AGE_MS),
      setInterval(() => this.load(), LIST_MS),
    ];
    this.turn(wanted);
    loadRanges().then(() => this.rows.forEach((row) => this.dirty.add(row)));
  }

  build() {
    document.title = "Tributary";
    this.search = el("input", {
      id: "search", type: "search", placeholder: "Devices that begin with …", autocomplete: "off",
      spellcheck: "false", maxlength: 128, "aria-label": "Devices that begin with",
      "aria-keyshortcuts": "/",
    });
    this.search.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.go(this.search.value.trim(), ""), TYPING_MS);
    });
    this.body = el("tbody");
    this.table = el("table", { class: "fleet" },
      el("caption", { class: "unseen" }, "Devices and what they read"),
      el("thead", {}, el("tr", {}, ...["Device", "Reads", "Trend", "Updated"]
        .map((title) => el("th", { scope: "col" }, title)))),
      this.body);
    this.previous = el("button", { class: "button", type: "button" }, "‹ Previous");
    this.following = el("button", { class: "button", type: "button" }, "Next ›");
    this.range = el("span", { class: "range" });
    this.pager = el("nav", { class: "pager", "aria-label": "Pages" },
      this.previous, this.range, this.following);
    this.previous.addEventListener("click", () => this.go(this.wanted.prefix, this.before.pop() ?? ""));
    this.following.addEventListener("click", () => {
      this.before.push(this.wanted.after);
      if (this.before.length > BEFORE_MAX) this.before.shift();
      this.go(this.wanted.prefix, this.next);
    });
    this.place = el("div", { class: "place" });
    this.main.replaceChildren(
      el("h1", { class: "unseen" }, "Devices"),
      el("div", { class: "tools", role: "search" }, this.search), this.place, this.pager);
  }

  go(prefix, after) {
    const fields = new URLSearchParams();
    if (prefix) fields.set("prefix", prefix);
    if (after) fields.set("after", after);
    if (prefix !== this.wanted.prefix) this.before = [];
    location.hash = `#/${fields.size ? `?${fields}` : ""}`;
  }

  /** Show another page. */
  turn(wanted) {
    if (this.wanted && wanted.prefix === this.wanted.prefix && wanted.after === this.wanted.after) {
      return;
    }
    this.wanted = wanted;
    if (document.activeElement !== this.search) this.search.value = wanted.prefix;
    this.rows.clear();
    this.dirty.clear();
    this.isLoaded = false;
    this.close?.();
    const fields = { ...wanted, limit: LIMIT };
    this.load();
    this.close = listen(fields, {
      onReading: (reading) => this.take(reading),
      onState: (state, error) => {
        if (state === "live" && isBehind(this.state)) this.load();
        this.state = state;
        this.onState(state, error);
      },
      devices: () => [...this.rows.keys()],
    });
  }

  async load() {
    const wanted = this.wanted;
    const asked = await page({ ...wanted, limit: LIMIT }).catch(() => null);
    if (!asked || wanted !== this.wanted || this.hasEnded) return;
    const now = performance.now();
    const listed = new Set(asked.devices.map((entry) => entry.device));
    for (const device of this.rows.keys()) if (!listed.has(device)) this.rows.delete(device);
    for (const entry of asked.devices) if (!this.rows.has(entry.device)) this.row(entry.device).take(entry, now);
    this.next = asked.next;
    this.isLoaded = true;
    this.lay();
    this.grow();
  }

  take(reading) {
    const isNew = !this.rows.has(reading.device);
    const row = this.row(reading.device);
    row.take(reading, performance.now());
    this.dirty.add(row);
    if (!isNew) return;
    this.trim();
    this.lay();
    this.draw();
    this.grow();
  }

  row(device) {
    if (!this.rows.has(device)) this.rows.set(device, new Row(device));
    return this.rows.get(device);
  }

  trim() {
    if (this.rows.size <= LIMIT) return;
    const names = [...this.rows.keys()].sort();
    for (const name of names.slice(LIMIT)) this.rows.delete(name);
    this.next = names[LIMIT - 1];
  }

  /** Put the rows in order and show what belongs around them. */
  lay() {
    const names = [...this.rows.keys()].sort();
    const rows = names.map((name) => this.rows.get(name).element);
    const isOther = rows.length !== this.body.children.length
      || rows.some((row, i) => row !== this.body.children[i]);
    if (isOther) this.body.replaceChildren(...rows);
    const { prefix, after } = this.wanted;
    if (names.length) this.put(this.table);
    else if (!this.isLoaded) this.put(el("p", { class: "hint" }, "Asking …"));
    else if (prefix) this.put(el("p", { class: "hint none" }, `No device begins with “${prefix}”.`));
    else if (after) this.put(el("p", { class: "hint none" }, "There are no more devices."));
    else if (!this.place.querySelector(".empty")) this.put(empty());
    this.previous.disabled = !after;
    this.following.disabled = !this.next;
    this.pager.hidden = !after && !this.next;
    say(this.range, names.length ? `${names[0]} … ${names.at(-1)}` : "");
    this.main.querySelector(".tools").hidden = !names.length && !prefix && !after;
  }

  put(content) {
    if (this.place.firstChild !== content) this.place.replaceChildren(content);
  }

  draw() {
    if (document.hidden) return;
    for (const row of this.dirty) row.draw();
    this.dirty.clear();
  }

  grow() {
    const now = performance.now();
    for (const row of this.rows.values()) row.grow(now);
  }

  end() {
    this.hasEnded = true;
    this.close?.();
    clearTimeout(this.typing);
    this.timers.forEach(clearInterval);
  }
}
