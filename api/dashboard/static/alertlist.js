// The view of the alerts that are not ok.

import { allAlerts, isPartial, keyOf, onAlerts, setTitle, silence, silencedUntil, unsilence } from "./alerts.js";
import { limitOf, loadCatalogue, ruleOf, shown } from "./catalogue.js";
import { el, setText } from "./dom.js";
import { age, clock, isToday, moment, number, spaced, unit } from "./format.js";
import { listen } from "./live.js";
import { localTime } from "./range.js";
import { deviceHash, lastList } from "./route.js";
import { onUnits } from "./units.js";

const AGE_MS = 1_000;
const SILENCE_S = 2 * 3600; // offered first
const EXAMPLE = ["[engine_temperature.alerts.overheating]", "above = 110", 'for = "30s"', "clear_below = 105",
  'severity = "critical"'].join("\n");
const when = (s) => (isToday(s) ? clock(s, true) : moment(s));

/** An alert in the list. */
class Item {
  constructor(alert) {
    const link = el("a", { href: deviceHash(alert.device) }, alert.device);
    [this.state, this.value, this.since, this.text] = ["state", "measured", "since", "hint"].map((name) => el("p", { class: name }));
    this.until = el("input", { type: "datetime-local", "aria-label": "Until" });
    this.form = el("form", {}, this.until, el("button", { class: "button" }, "Silence"));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.change(silence(this.alert, new Date(this.until.value).toISOString()));
    });
    this.end = el("button", { class: "button", type: "button" }, "End silence");
    this.end.addEventListener("click", () => this.change(unsilence(this.alert)));
    this.details = el("details", {}, el("summary", { class: "button" }, "Silence …"), this.form);
    this.details.addEventListener("toggle", () => { this.until.value = localTime(Date.now() / 1000 + SILENCE_S); });
    this.element = el("li", { class: "card" }, this.state,
      el("div", { class: "what" }, el("h2", {}, link), el("p", {}, `${spaced(alert.metric)} · ${alert.rule}`)),
      this.value, this.since, el("div", { class: "silence" }, this.text, this.details, this.end));
  }

  async change(done) {
    setText(this.text, await done.then(() => (this.details.open = false) || "", (error) => error.message));
    this.hasError = this.text.textContent !== "";
  }

  show(alert) {
    this.alert = alert;
    this.element.dataset.severity = alert.state === "firing" ? alert.severity : "pending";
    setText(this.state, `${alert.severity} · ${alert.state}`);
    const rule = ruleOf(alert);
    const { of, factor, unit: name } = shown(alert.metric);
    const value = number(rule?.condition === "rate_above" ? alert.value * factor : of(alert.value));
    const perS = rule?.condition === "rate_above" ? "/s" : "";
    setText(this.value, `${value} ${unit(name)}${perS}${rule ? `, ${limitOf(rule)}` : ""}`);
    const untilS = silencedUntil(alert);
    this.end.hidden = !untilS;
    this.details.hidden = Boolean(untilS);
    if (!this.hasError || untilS) setText(this.text, untilS ? `silenced until ${when(untilS)}` : "");
    this.showAge();
  }

  showAge() {
    const s = Date.parse(this.alert.since) / 1000;
    setText(this.since, `since ${when(s)}, ${age(Date.now() - s * 1000)}`);
  }
}

export class AlertList {
  constructor(main, wanted, onState) {
    this.items = new Map();
    this.list = el("ul", { class: "alerts" });
    this.hint = el("p", { class: "hint" }, "Loading …");
    this.place = el("div", {}, this.hint);
    main.replaceChildren(el("a", { class: "back", href: lastList() }, "‹ All devices"), el("h1", {}, "Alerts"), this.place);
    setTitle("Alerts · Tributary");
    this.show();
    const show = () => this.show();
    this.ends = [onAlerts(show), onUnits(show)];
    loadCatalogue().then(show);
    this.timer = setInterval(() => this.items.forEach((item) => item.showAge()), AGE_MS);
    this.close = listen({ limit: 1 }, { onReading: () => {}, onState, devices: () => [] });
  }

  apply() {}

  show() {
    const alerts = allAlerts();
    if (!alerts) return;
    const before = this.items;
    this.items = new Map(alerts.map((alert) => [keyOf(alert), before.get(keyOf(alert)) ?? new Item(alert)]));
    alerts.forEach((alert) => this.items.get(keyOf(alert)).show(alert));
    const elements = [...this.items.values()].map((item) => item.element);
    if (elements.some((each, i) => each !== this.list.children[i]) || elements.length !== this.list.children.length) {
      this.list.replaceChildren(...elements);
    }
    setText(this.hint, isPartial() ? `There are more than these ${alerts.length}.` : "");
    if (alerts.length) this.place.replaceChildren(this.list, this.hint);
    else if (!this.place.querySelector(".empty")) this.place.replaceChildren(empty());
  }

  end() {
    this.ends.forEach((end) => end());
    clearInterval(this.timer);
    this.close();
  }
}

const empty = () => el("section", { class: "card empty" },
  el("h2", {}, "No alerts"),
  el("p", {}, "Every rule is ok, or there are none. Rules are in the catalogue of metrics, the file in ",
    el("code", {}, "TRIBUTARY_METRICS_FILE"), ":"),
  el("div", { class: "command" }, el("pre", { tabindex: "0", "aria-label": "rule" }, el("code", {}, EXAMPLE))),
  el("p", { class: "hint" }, "Restart the aggregators and the API after a change. A change of an alert appears here without a reload."));
