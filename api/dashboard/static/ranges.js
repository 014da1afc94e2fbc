// The plausible ranges of metrics, from the catalogue of the server; fetched once.

import { ask } from "./api.js";
import { number } from "./format.js";

let known = null;
let asking = null;

/** Fetch the ranges unless they are known; never fails: it is tried again with the next view. */
export function loadRanges() {
  asking ??= ask("/dashboard/ranges")
    .then((found) => { known = new Map(Object.entries(found)); })
    .catch(() => { asking = null; });
  return asking;
}

/** Which range a value is outside of, in words; empty if it is plausible or nothing is known. */
export function implausible(metric, value) {
  const range = known?.get(metric);
  if (!range || value === null || value === undefined) return "";
  const [low, high] = range;
  if ((low ?? -Infinity) <= value && value <= (high ?? Infinity)) return "";
  return `outside ${number(low)} to ${number(high)}`;
}
