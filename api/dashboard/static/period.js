// Which time the charts show: up to now, or up to a time in the past.

import { el, setText } from "./dom.js";
import { seconds } from "./format.js";

const WITH_HISTORY = ["7d", "30d"];

export const hasHistory = () => document.documentElement.dataset.history === "on";

/** The windows of the server, and longer ones if it keeps a history. */
export function ranges(windows) {
  const longest = Math.max(0, ...windows.map(seconds));
  const more = hasHistory() ? WITH_HISTORY.filter((name) => seconds(name) > longest) : [];
  return [...windows, ...more];
}

/** Seconds as the value of an input of local time. */
function localTime(s) {
  const date = new Date(s * 1000);
  return new Date(date - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

export class Period {
  /** `lengthS`: of the chosen range; `newestS`: time of the newest reading; `onChange`: reload. */
  constructor({ lengthS, newestS, onChange }) {
    this.endS = null; // null: now
    this.lengthS = lengthS;
    this.onChange = onChange;
    const button = (text, onClick) => {
      const made = el("button", { class: "button", type: "button" }, text);
      made.addEventListener("click", onClick);
      return made;
    };
    this.input = el("input", { type: "datetime-local", "aria-label": "End of the charts" });
    this.input.addEventListener("change", () => {
      const chosen = Date.parse(this.input.value) / 1000;
      this.set(Number.isFinite(chosen) ? chosen : null);
    });
    this.later = button("Later ›", () => this.move(1));
    this.now = button("Now", () => this.set(null));
    this.newest = button("Newest readings", () => this.set(newestS()));
    this.newest.hidden = true;
    this.text = el("span", { class: "until" });
    this.element = el("div", { class: "period", role: "group", "aria-label": "Time of the charts" },
      button("‹ Earlier", () => this.move(-1)), this.later, this.now,
      el("label", {}, this.text, this.input), this.newest);
    this.element.hidden = !hasHistory();
    this.show();
  }

  /** Move by the length of the range; not beyond now. */
  move(steps) {
    const nowS = Date.now() / 1000;
    const endS = (this.endS ?? nowS) + steps * this.lengthS();
    this.set(endS >= nowS ? null : Math.max(endS, this.lengthS()));
  }

  set(endS) {
    this.endS = endS;
    this.show();
    this.onChange();
  }

  show() {
    setText(this.text, this.endS === null ? "until now" : "until");
    this.input.value = this.endS === null ? "" : localTime(this.endS);
    this.later.disabled = this.now.disabled = this.endS === null;
  }

  /** Offer the newest readings if the charts end long after them. */
  offer(ageS) {
    this.newest.hidden = this.endS !== null || ageS < this.lengthS();
  }
}
