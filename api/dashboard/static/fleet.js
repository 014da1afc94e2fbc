// The view of the list of devices: one page, with one subscription for it.

import { page } from "./api.js";
import { el, setText, prefersReducedMotion } from "./dom.js";
import { empty } from "./empty.js";
import { mayHaveMissed, listen } from "./live.js";
import { loadRanges } from "./ranges.js";
import { Row } from "./row.js";

const LIMIT = 50;
const DRAW_MS = 200;
const REDUCED_DRAW_MS = 1_000;
const AGE_MS = 1_000;
const LIST_MS = 30_000;
const BEFORE_MAX = 1_000; // pages that Previous can go back
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
      setInterval(() => this.draw(), prefersReducedMotion() ? REDUCED_DRAW_MS : DRAW_MS),
      setInterval(() => this.updateAges(), AGE_MS),
      setInterval(() => this.load(), LIST_MS),
    ];
    this.showPage(wanted);
    loadRanges().then(() => this.rows.forEach((row) => this.dirty.add(row)));
  }

  build() {
    document.title = "Tributary";
    this.search = el("input", {
      id: "search", type: "search", placeholder: "Search by prefix …", autocomplete: "off",
      spellcheck: "false", maxlength: 128, "aria-label": "Search devices by prefix",
      "aria-keyshortcuts": "/",
    });
    this.search.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.go(this.search.value.trim(), ""), TYPING_MS);
    });
    this.body = el("tbody");
    this.table = el("table", { class: "fleet" },
      el("caption", { class: "visually-hidden" }, "Devices and their values"),
      el("thead", {}, el("tr", {}, ...["Device", "Values", "Trend", "Updated"]
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
      el("h1", { class: "visually-hidden" }, "Devices"),
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
  showPage(wanted) {
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
      onReading: (reading) => this.update(reading),
      onState: (state, error) => {
        if (state === "live" && mayHaveMissed(this.state)) this.load();
        this.state = state;
        this.onState(state, error);
      },
      devices: () => [...this.rows.keys()],
    });
  }

  async load() {
    const wanted = this.wanted;
    const list = await page({ ...wanted, limit: LIMIT }).catch(() => null);
    if (!list || wanted !== this.wanted || this.hasEnded) return;
    const now = performance.now();
    const listed = new Set(list.devices.map((entry) => entry.device));
    for (const device of this.rows.keys()) if (!listed.has(device)) this.rows.delete(device);
    for (const entry of list.devices) if (!this.rows.has(entry.device)) this.row(entry.device).update(entry, now);
    this.next = list.next;
    this.isLoaded = true;
    this.layOut();
    this.updateAges();
  }

  update(reading) {
    const isNew = !this.rows.has(reading.device);
    const row = this.row(reading.device);
    row.update(reading, performance.now());
    this.dirty.add(row);
    if (!isNew) return;
    this.trim();
    this.layOut();
    this.draw();
    this.updateAges();
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

  /** Sort the rows, and show the table or a hint, and the pager. */
  layOut() {
    const names = [...this.rows.keys()].sort();
    const rows = names.map((name) => this.rows.get(name).element);
    const isOther = rows.length !== this.body.children.length
      || rows.some((row, i) => row !== this.body.children[i]);
    if (isOther) this.body.replaceChildren(...rows);
    const { prefix, after } = this.wanted;
    if (names.length) this.showContent(this.table);
    else if (!this.isLoaded) this.showContent(el("p", { class: "hint" }, "Loading …"));
    else if (prefix) this.showContent(el("p", { class: "hint none" }, `No devices start with “${prefix}”.`));
    else if (after) this.showContent(el("p", { class: "hint none" }, "No more devices."));
    else if (!this.place.querySelector(".empty")) this.showContent(empty());
    this.previous.disabled = !after;
    this.following.disabled = !this.next;
    this.pager.hidden = !after && !this.next;
    setText(this.range, names.length ? `${names[0]} … ${names.at(-1)}` : "");
    this.main.querySelector(".tools").hidden = !names.length && !prefix && !after;
  }

  showContent(content) {
    if (this.place.firstChild !== content) this.place.replaceChildren(content);
  }

  draw() {
    if (document.hidden) return;
    for (const row of this.dirty) row.draw();
    this.dirty.clear();
  }

  updateAges() {
    const now = performance.now();
    for (const row of this.rows.values()) row.updateAge(now);
  }

  end() {
    this.hasEnded = true;
    this.close?.();
    clearTimeout(this.typing);
    this.timers.forEach(clearInterval);
  }
}
