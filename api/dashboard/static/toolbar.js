// Search, states and order above the list of devices.

import { el, setText } from "./dom.js";
import { count, spaced } from "./format.js";
import { unitField } from "./units.js";

const TYPING_MS = 200;
const STATES = { all: "All", reporting: "Reporting", stale: "Stale", implausible: "Implausible", alerting: "Alerting" };
const ORDERS = { name: "Name", age: "Age" };

export class Toolbar {
  /** `onChange(changes, isTyping)` is called with the fields that the user changes. */
  constructor(onChange) {
    this.search = el("input", {
      id: "search", type: "search", placeholder: "Search …", autocomplete: "off",
      spellcheck: "false", maxlength: 128, "aria-label": "Search devices by a part of the name",
      "aria-keyshortcuts": "/",
    });
    this.search.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => onChange({ q: this.search.value.trim() }, true), TYPING_MS);
    });
    this.search.addEventListener("keydown", ({ key }) => {
      if (key === "Enter") document.querySelector("table.fleet tbody a")?.click();
    });
    this.states = {};
    const choices = Object.entries(STATES).map(([state, title]) => {
      const input = el("input", { type: "radio", name: "state", value: state });
      input.addEventListener("change", () => onChange({ state }));
      const number = el("strong");
      this.states[state] = { input, number };
      return el("label", {}, input, el("span", {}, `${title} `, number));
    });
    this.order = el("select", { id: "sort" });
    this.order.addEventListener("change", () => onChange({ sort: this.sign() + this.order.value }));
    this.direction = el("button", { class: "button", type: "button" });
    this.direction.addEventListener("click", () => {
      onChange({ sort: (this.sign() ? "" : "-") + this.order.value });
    });
    this.element = el("div", { class: "tools", role: "search" }, this.search,
      el("fieldset", { class: "windows states" },
        el("legend", { class: "visually-hidden" }, "State of the devices"), ...choices),
      el("div", { class: "field" }, el("span", {}, el("label", { for: "sort" }, "Sort by")), this.order, this.direction),
      unitField());
  }

  sign() {
    return this.sort.startsWith("-") ? "-" : "";
  }

  /** Show what is selected. */
  show({ q, state, sort }) {
    this.sort = sort;
    if (document.activeElement !== this.search) this.search.value = q;
    if (this.states[state]) this.states[state].input.checked = true;
    this.showOrders();
    const isDescending = this.sign() === "-";
    setText(this.direction, isDescending ? "↓" : "↑");
    this.direction.setAttribute("aria-label", isDescending ? "Descending; sort ascending" : "Ascending; sort descending");
  }

  /** Show the counts of the server, and the metrics to sort by. */
  showFound({ counts, metrics }) {
    for (const [state, { number }] of Object.entries(this.states)) setText(number, count(counts[state]));
    this.metrics = metrics.map((each) => each.metric);
    this.showOrders();
  }

  showOrders() {
    const by = this.sort.replace(/^-/, "");
    const names = new Map([...Object.entries(ORDERS),
      ...(this.metrics ?? []).map((metric) => [`metric:${metric}`, spaced(metric)])]);
    if (!names.has(by)) names.set(by, spaced(by.replace("metric:", "")));
    const options = [...names].map(([value, title]) => el("option", { value }, title));
    if (options.map((option) => option.value).join() !== [...this.order.options].map((option) => option.value).join()) {
      this.order.replaceChildren(...options);
    }
    this.order.value = by;
  }

  end() {
    clearTimeout(this.typing);
  }
}
