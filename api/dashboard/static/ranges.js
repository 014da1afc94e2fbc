// The plausible ranges of metrics from the catalogue of the server, fetched once.

import { request } from "./api.js";
import { number } from "./format.js";

let ranges = null;
let loading = null;

/** Fetch the ranges once. Never fails: the next view tries again. */
export function loadRanges() {
  loading ??= request("/dashboard/ranges")
    .then((found) => { ranges = new Map(Object.entries(found)); })
    .catch(() => { loading = null; });
  return loading;
}

/** The range that a value is outside of, as text; empty if it is plausible or has no range. */
export function implausible(metric, value) {
  const range = ranges?.get(metric);
  if (!range || value === null || value === undefined) return "";
  const [low, high] = range;
  if ((low ?? -Infinity) <= value && value <= (high ?? Infinity)) return "";
  return `outside ${number(low)} to ${number(high)}`;
}
