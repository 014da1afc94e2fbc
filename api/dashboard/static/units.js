// The units that values are shown in: those of the server, or those of the US. Remembered.

import { el } from "./dom.js";

const CHOSEN = "tributary-units";
const FIELD = "units"; // its id
const linear = (unit, factor, offset = 0) => ({ unit, factor, offset, of: (value) => (value === null || value === undefined ? value : value * factor + offset) });
const MILES = 1 / 1.609344;
const CUSTOMARY = {
  degC: linear("degF", 1.8, 32),
  "km/h": linear("mph", MILES),
  "m/s": linear("mph", 3.6 * MILES),
  km: linear("mi", MILES),
  m: linear("ft", 1 / 0.3048),
  mm: linear("in", 1 / 25.4),
  "mm/h": linear("in/h", 1 / 25.4),
  kPa: linear("psi", 1 / 6.894757293168361),
  hPa: linear("inHg", 1 / 33.86388640341),
};
const listeners = new Set();

export const SYSTEMS = { server: "As recorded", us: "US units" };
export const system = () => (localStorage.getItem(CHOSEN) === "us" ? "us" : "server");

/** The conversion of values whose unit at the server is this. */
export const conversion = (unit) => (system() === "us" && CUSTOMARY[unit]) || linear(unit, 1);

export function choose(name) {
  if (!SYSTEMS[name] || name === system()) return;
  localStorage.setItem(CHOSEN, name);
  const field = document.getElementById(FIELD);
  if (field) field.value = name;
  listeners.forEach((listener) => listener());
}

/** Call a function whenever the choice changes; returns a function that ends this. */
export function onUnits(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** The choice, as a field of a toolbar. */
export function unitField() {
  const field = el("select", { id: FIELD }, ...Object.entries(SYSTEMS)
    .map(([name, title]) => el("option", { value: name, selected: name === system() }, title)));
  field.addEventListener("change", () => choose(field.value));
  return el("label", { class: "field" }, el("span", {}, "Units"), field);
}
