// The catalogue of the server: units and plausible ranges of metrics, fetched once.

import { request } from "./api.js";
import { duration, number, unit } from "./format.js";
import { conversion } from "./units.js";

let metrics = null;
let loading = null;

/** Fetch it once. Never fails: the next view tries again. */
export function loadCatalogue() {
  loading ??= request("/dashboard/catalogue")
    .then((found) => { metrics = new Map(Object.entries(found)); })
    .catch(() => { loading = null; });
  return loading;
}

const entry = (metric) => metrics?.get(metric);

/** How values of a metric are shown: `{ unit, of }`, in the units that the user has chosen. */
export const shown = (metric, ofServer = entry(metric)?.unit) => conversion(ofServer);
export const unitOf = (metric) => unit(shown(metric).unit);

/** `[low, high]` in the unit of the server, or null. */
export const rangeOf = (metric) => entry(metric)?.plausible ?? null;

export const ruleOf = ({ metric, rule }) => entry(metric)?.alerts[rule];

/** The rules with a limit of the value that apply to a device. */
export const rulesOf = (metric, device) => Object.values(entry(metric)?.alerts ?? {}).filter((rule) =>
  ["above", "below"].includes(rule.condition)
  && new RegExp(`^${rule.devices.replaceAll(".", "\\.").replaceAll("*", ".*")}$`).test(device));

/** The condition of a rule as text: `above 110 °C`. */
export function limitOf({ metric, condition, limit }) {
  if (condition === "stale_for") return `silent for ${duration(limit / 1000)}`;
  const { of, factor, unit: name } = shown(metric);
  const isRate = condition === "rate_above";
  return `${isRate ? "rises by more than" : condition} ${number(isRate ? limit * factor : of(limit))} ${unit(name)}${isRate ? "/s" : ""}`;
}

/** The range that a value is outside of, as text; empty if it is plausible or has no range. */
export function implausible(metric, value) {
  const range = rangeOf(metric);
  if (!range || value === null || value === undefined) return "";
  const [low, high] = range;
  if ((low ?? -Infinity) <= value && value <= (high ?? Infinity)) return "";
  const { of } = shown(metric);
  return `outside ${number(of(low))} to ${number(of(high))}`;
}
