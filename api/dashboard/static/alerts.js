// The alerts of the server that are not ok, and its silences, for all views. They are read again
// when one changes, which every subscription to live updates reports, and every ten seconds.

import { remove, request, send } from "./api.js";
import { setText } from "./dom.js";

const ROUND_MS = 10_000;
const PAUSE_MS = 500; // between two reads
const LIMIT = 1_000;
const SILENCES = "/api/v1/alerts/silences";
const SEVERITIES = ["critical", "warning", "info"];
const ORDER = ({ state, severity }) => (state === "firing" ? 0 : 10) + SEVERITIES.indexOf(severity);
const listeners = new Set();
let alerts = null; // null: not read yet
let silences = new Map();
let hasMore = false;
let title = "";
let timer;
let readAt = -Infinity;
let isReading = false;
let hasChanged = false; // during the read

export const keyOf = ({ device, metric, rule }) => `${device}|${metric}|${rule}`;
/** The alerts in the order of their urgency, or null. */
export const allAlerts = () => alerts;
export const isPartial = () => hasMore;
export const alertsOf = (device) => (alerts ?? []).filter((alert) => alert.device === device);
export const firingOf = (device) => alertsOf(device).filter((alert) => alert.state === "firing");
/** Until when an alert is silenced, in seconds; undefined if it is not. */
export const silencedUntil = (alert) => silences.get(keyOf(alert));

/** Call a function after each read; returns a function that ends this. */
export function onAlerts(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Read soon: several changes are read together, and one during a read after it. */
export function readAlerts() {
  if (isReading) hasChanged = true;
  else readIn(Math.max(0, readAt + PAUSE_MS - performance.now()));
}

function readIn(ms) {
  clearTimeout(timer);
  timer = setTimeout(read, ms);
}

async function read() {
  [isReading, hasChanged, readAt] = [true, false, performance.now()];
  const found = document.hidden
    ? null
    : await Promise.all([request(`/api/v1/alerts?limit=${LIMIT}`), request(SILENCES)]).catch(() => null);
  isReading = false;
  readIn(ROUND_MS);
  if (hasChanged) readAlerts();
  if (found) show(...found);
}

function show(found, silenced) {
  hasMore = found.next !== null;
  alerts = found.alerts.sort((one, other) => ORDER(one) - ORDER(other));
  silences = new Map(silenced.silences.map((each) => [keyOf(each), Date.parse(each.until) / 1000]));
  showCount();
  listeners.forEach((listener) => listener());
}

/** The number of firing alerts, in the header and the title of the tab. */
function showCount() {
  const count = (alerts ?? []).filter((alert) => alert.state === "firing").length;
  const text = count ? `${count}${hasMore ? "+" : ""}` : "";
  const badge = document.getElementById("firing");
  setText(badge, text);
  badge.parentElement.setAttribute("aria-label", `Alerts${text && `, ${text} firing`}`);
  document.title = (text && `(${text}) `) + title;
}

export function setTitle(text) {
  title = text;
  showCount();
}

export const silence = ({ device, metric, rule }, until) => send(SILENCES, { device, metric, rule, until }).finally(readAlerts);
export const unsilence = ({ device, metric, rule }) =>
  remove(`${SILENCES}?${new URLSearchParams({ device, metric, rule })}`).finally(readAlerts);
