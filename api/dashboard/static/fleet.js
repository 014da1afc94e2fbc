// The view of the list of devices: one page of it, and one subscription to its devices.

import { onAlerts, setTitle } from "./alerts.js";
import { fleet } from "./api.js";
import { loadCatalogue } from "./catalogue.js";
import { el, setText, prefersReducedMotion } from "./dom.js";
import { empty } from "./empty.js";
import { count } from "./format.js";
import { mayHaveMissed, listen } from "./live.js";
import { isDevice, keepList, listHash } from "./route.js";
import { Row } from "./row.js";
import { Toolbar } from "./toolbar.js";
import { onUnits } from "./units.js";

const LIMIT = 50;
const DRAW_MS = 200;
const REDUCED_DRAW_MS = 1_000;
const AGE_MS = 1_000;
const BY_NAME_MS = 2_000; // until the list is loaded again
const BY_VALUE_MS = 5_000; // in an order that changes
const FIELDS_MAX = 10_000; // characters; a server accepts 16,384 bytes of header
const JOINED_MS = 30_000;
const FINAL = new Set([400, 422]);

export class Fleet {
  constructor(main, wanted, onState) {
    this.main = main;
    this.onState = onState;
    this.rows = new Map();
    this.dirty = new Set();
    this.watched = null;
    this.build();
    this.timers = [
      setInterval(() => this.draw(), prefersReducedMotion() ? REDUCED_DRAW_MS : DRAW_MS),
      setInterval(() => this.updateAges(), AGE_MS),
    ];
    const redraw = () => this.rows.forEach((row) => this.dirty.add(row));
    this.ends = [onUnits(redraw), onAlerts(redraw)];
    this.showPage(wanted);
    loadCatalogue().then(redraw);
  }

  build() {
    setTitle("Tributary");
    this.tools = new Toolbar((changes, isTyping) => this.go({ page: 1, ...changes }, isTyping));
    this.body = el("tbody");
    this.table = el("table", { class: "fleet" },
      el("caption", { class: "visually-hidden" }, "Devices and their values"),
      el("thead", {}, el("tr", {}, ...["Device", "Values", "Trend", "Updated"]
        .map((title) => el("th", { scope: "col" }, title)))),
      this.body);
    const button = (text, step) => {
      const made = el("button", { class: "button", type: "button" }, text);
      made.addEventListener("click", () => this.go({ page: this.wanted.page + step }));
      return made;
    };
    this.previous = button("‹ Previous", -1);
    this.following = button("Next ›", 1);
    this.range = el("span", { class: "range" });
    this.pager = el("nav", { class: "pager", "aria-label": "Pages", hidden: true },
      this.previous, this.range, this.following);
    this.place = el("div", { class: "place" }, el("p", { class: "hint" }, "Loading …"));
    this.main.replaceChildren(
      el("h1", { class: "visually-hidden" }, "Devices"), this.tools.element, this.place, this.pager);
  }

  /** Show something else; what is typed replaces the entry of the browser's history. */
  go(changes, isTyping = false) {
    const wanted = { ...this.wanted, ...changes };
    if (!isTyping) location.hash = listHash(wanted);
    else {
      history.replaceState(null, "", listHash(wanted));
      this.showPage(wanted);
    }
  }

  /** Show another page. */
  showPage(wanted) {
    if (this.wanted && listHash(wanted) === listHash(this.wanted)) return;
    this.wanted = wanted;
    keepList(wanted);
    this.tools.show(wanted);
    this.found = null;
    this.joinedAt = -Infinity;
    this.load();
  }

  /** Load the page, and again after some seconds. */
  async load() {
    clearTimeout(this.timer);
    const { wanted } = this;
    const isCurrent = () => wanted === this.wanted && !this.hasEnded;
    const byName = wanted.sort.endsWith("name");
    const again = () => {
      if (isCurrent()) this.timer = setTimeout(() => this.load(), byName ? BY_NAME_MS : BY_VALUE_MS);
    };
    if (document.hidden && this.found) return again();
    const found = await fleet({
      search: wanted.q, state: wanted.state, sort: wanted.sort.replace(/^-/, ""),
      order: wanted.sort.startsWith("-") ? "desc" : "asc", offset: (wanted.page - 1) * LIMIT, limit: LIMIT,
    }).catch((error) => error);
    if (!isCurrent()) return undefined;
    if (FINAL.has(found.status)) this.showError(found);
    else if (!(found instanceof Error)) this.show(found);
    else if (!this.watched) this.watch([]); // reports the state of the connection
    return again();
  }

  showError(error) {
    this.rows.clear();
    this.body.replaceChildren();
    this.showContent(el("p", { class: "hint none" }, error.message));
    this.pager.hidden = true;
    this.watch([]);
  }

  show(found) {
    const pages = Math.max(1, Math.ceil(found.matched / LIMIT));
    if (this.wanted.page > pages) {
      history.replaceState(null, "", listHash({ ...this.wanted, page: pages }));
      return this.showPage({ ...this.wanted, page: pages });
    }
    const hasJoined = this.rows.size && performance.now() - this.joinedAt < JOINED_MS;
    if (!found.devices.length && hasJoined) return undefined; // it is older than what has joined
    this.found = found;
    const now = performance.now();
    const metric = /^-?metric:(.+)$/.exec(this.wanted.sort)?.[1];
    const names = found.devices.map((entry) => entry.device);
    for (const device of this.rows.keys()) if (!names.includes(device)) this.rows.delete(device);
    for (const entry of found.devices) {
      if (!this.rows.has(entry.device)) this.rows.set(entry.device, new Row(entry.device));
      const row = this.rows.get(entry.device);
      row.promote(metric);
      row.update(flat(entry), now);
      this.dirty.add(row);
    }
    this.tools.showFound(found);
    this.layOut(names, pages);
    this.draw();
    this.updateAges();
    return this.watch(names);
  }

  /** Subscribe to the devices of the page; to any, if there are none. */
  watch(names) {
    if (this.watched && names.length === 0 && this.watched.length === 0) return;
    if (this.watched?.length && names.length && names.every((name) => this.watched.includes(name))) return;
    this.watched = names;
    let size = 0;
    const fields = names.filter(isDevice).map((name) => ["device", name])
      .filter(([, name]) => (size += encodeURIComponent(name).length + 8) < FIELDS_MAX);
    this.close?.();
    this.close = listen(fields.length ? fields : { prefix: this.wanted.q, limit: LIMIT }, {
      onReading: (reading) => this.update(reading),
      onState: (state, error) => {
        if (state === "live" && mayHaveMissed(this.state)) this.load();
        this.state = state;
        this.onState(state, error);
      },
      devices: () => [...this.rows.keys()],
    });
  }

  update(reading) {
    const row = this.rows.get(reading.device);
    if (!row && !this.watched.length) this.join(reading);
    if (!row) return;
    row.update(reading, performance.now());
    this.dirty.add(row);
  }

  /** Show the first devices at once; the list may be some seconds old. */
  join(reading) {
    const { found } = this;
    if (!found || this.rows.size >= LIMIT || this.wanted.state !== "all") return;
    this.joinedAt = performance.now();
    const row = new Row(reading.device);
    this.rows.set(reading.device, row);
    row.update(reading, performance.now());
    this.dirty.add(row);
    const all = this.rows.size;
    this.found = { ...found, matched: all, counts: { ...found.counts, all } };
    this.layOut([...this.rows.keys()].sort(), 1);
    this.draw();
    this.updateAges();
  }

  /** Show the rows in their order, or a hint, and the pager. */
  layOut(names, pages) {
    const rows = names.map((name) => this.rows.get(name).element);
    const isOther = rows.length !== this.body.children.length
      || rows.some((row, i) => row !== this.body.children[i]);
    if (isOther) this.body.replaceChildren(...rows);
    const { q, page } = this.wanted;
    const { matched, counts } = this.found;
    const isEmpty = !counts.all && !q;
    if (names.length) this.showContent(this.table);
    else if (!isEmpty) this.showContent(el("p", { class: "hint none" }, q ? `No devices match “${q}”.` : "No devices match."));
    else if (!this.place.querySelector(".empty")) this.showContent(empty());
    this.previous.disabled = page <= 1;
    this.following.disabled = page >= pages;
    this.pager.hidden = pages === 1;
    const first = (page - 1) * LIMIT;
    setText(this.range, `${count(first + 1)} to ${count(first + names.length)} of ${count(matched)}`);
    this.tools.element.hidden = isEmpty;
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
    this.ends.forEach((end) => end());
    this.tools.end();
    clearTimeout(this.timer);
    this.timers.forEach(clearInterval);
  }
}

/** An entry of the list as a reading. */
function flat({ values, ...entry }) {
  for (const [name, { current, average }] of Object.entries(values)) {
    entry[`current_${name}`] = current;
    entry[`average_${name}`] = average;
  }
  return entry;
}
