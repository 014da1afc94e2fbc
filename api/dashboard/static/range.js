// Which time the charts show: a window up to now, or from one time to another. The same for all
// charts of a page.

import { el, setText } from "./dom.js";
import { seconds } from "./format.js";

const WITH_HISTORY = ["7d", "30d"];
const DURATION = /^[1-9]\d{0,5}[smhd]$/;
const SHORTEST_S = 10;
const LONGEST_S = 3_660 * 86_400;

export const hasHistory = () => document.documentElement.dataset.history === "on";

/** The windows of the server, and longer ones if it keeps a history. */
export function ranges(windows) {
  const longest = Math.max(0, ...windows.map(seconds));
  const more = hasHistory() ? WITH_HISTORY.filter((name) => seconds(name) > longest) : [];
  return [...windows, ...more];
}

/** `{ window, from, to }`: a window, or two times in seconds. */
export const lengthOf = ({ window, from, to }) => (window ? seconds(window) : to - from);
export const isSame = (one, other) => one.window === other.window && one.from === other.from && one.to === other.to;

/** The range of a URL, or null. */
export function parseRange(fields) {
  const [from, to] = ["from", "to"].map((name) => Date.parse(fields.get(name)) / 1000);
  if (from < to) return { window: null, from, to };
  const window = fields.get("window");
  return DURATION.test(window) ? { window, from: null, to: null } : null;
}

const iso = (s) => new Date(s * 1000).toISOString().replace(".000Z", "Z");
export const rangeFields = ({ window, from, to }) => (window ? { window } : { from: iso(from), to: iso(to) });

/** Part of a range, or more than it: zoomed by a factor about its middle, then moved by a share. */
export function changed(range, { zoom = 1, move = 0 }, nowS) {
  const end = range.window ? nowS : range.to;
  const length = lengthOf(range);
  const wanted = Math.min(LONGEST_S, Math.max(SHORTEST_S, length * zoom));
  const middle = end - length / 2 + move * length;
  const to = Math.min(nowS, middle + wanted / 2);
  return { window: null, from: Math.round(Math.max(0, to - wanted)), to: Math.round(Math.max(wanted, to)) };
}

/** Seconds as the value of an input of local time. */
export function localTime(s) {
  const date = new Date(s * 1000);
  return new Date(date - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

export class RangePicker {
  /** `onChange(range)` is called with what the user chooses; `newestS`: time of the newest reading. */
  constructor({ onChange, newestS, nowS }) {
    this.onChange = onChange;
    this.nowS = nowS;
    this.choices = el("fieldset", { class: "windows" });
    const button = (text, label, onClick) => {
      const made = el("button", { class: "button", type: "button", "aria-label": label }, text);
      made.addEventListener("click", onClick);
      return made;
    };
    const change = (text, label, by) => button(text, label, () => onChange(changed(this.range, by, nowS())));
    this.later = change("›", "Later", { move: 1 });
    this.now = button("Now", "Now", () => onChange({ window: this.chosen, from: null, to: null }));
    this.newest = button("Newest readings", "Newest readings", () => {
      const to = newestS();
      onChange({ window: null, from: to - lengthOf(this.range), to });
    });
    const input = (name) => {
      const made = el("input", { type: "datetime-local", "aria-label": name });
      made.addEventListener("change", () => this.take());
      return made;
    };
    [this.from, this.to] = [input("From"), input("To")];
    this.text = el("span", { class: "hint" });
    this.period = el("div", { class: "period", role: "group", "aria-label": "Time of the charts" },
      change("‹", "Earlier", { move: -1 }), this.later,
      change("+", "Zoom in", { zoom: 0.5 }), change("−", "Zoom out", { zoom: 2 }), this.now,
      el("span", { class: "pickers" }, this.from, "–", this.to), this.text, this.newest);
    this.newest.hidden = true;
    this.period.hidden = !hasHistory();
    this.element = el("div", { class: "time" }, this.choices, this.period);
  }

  /** Both times, if they are valid; with one of them, the length stays. */
  take() {
    const [from, to] = [this.from, this.to].map((input) => Date.parse(input.value) / 1000);
    const length = lengthOf(this.range);
    const range = { window: null, from: from || to - length, to: to || Math.min(this.nowS(), from + length) };
    const isValid = range.from < range.to;
    setText(this.text, isValid || Number.isNaN(range.from) ? "" : "From must be before To");
    if (isValid) this.onChange(range);
  }

  /** Show the windows of the server. */
  showWindows(windows) {
    this.choices.replaceChildren(el("legend", { class: "visually-hidden" }, "Window of the charts"),
      ...windows.map((name) => {
        const input = el("input", { type: "radio", name: "window", value: name });
        input.addEventListener("change", () => this.onChange({ window: name, from: null, to: null }));
        return el("label", {}, input, el("span", {}, name));
      }));
    if (this.range) this.show(this.range);
  }

  show(range) {
    this.range = range;
    if (range.window) this.chosen = range.window;
    for (const input of this.choices.querySelectorAll("input")) input.checked = input.value === range.window;
    this.from.value = range.window ? "" : localTime(range.from);
    this.to.value = range.window ? "" : localTime(range.to);
    this.later.disabled = this.now.disabled = range.window !== null;
    setText(this.text, "");
  }

  /** Offer the newest readings if the charts end long after them. */
  offer(ageS) {
    this.newest.hidden = !this.range.window || ageS < lengthOf(this.range);
  }
}
