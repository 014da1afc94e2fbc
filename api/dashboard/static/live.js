// A subscription to live readings. It reconnects, resumes with `Last-Event-ID` and reports its
// state: "live", "away" (no connection; retrying), "polling" (the server has no live updates),
// "paused" (the tab is hidden: a browser opens at most six connections to a server, so it closes
// its own) or "refused".

import { readAlerts } from "./alerts.js";
import { errorOf } from "./api.js";
import { poll } from "./poll.js";
import { parser } from "./sse.js";
import { headers } from "./token.js";

const SILENT_MS = 25_000; // the server sends a heartbeat every ten seconds
const FIRST_PAUSE_MS = 300;
const LONGEST_PAUSE_MS = 4_000;
const POLL = new Set([404, 501]);
const FINAL = new Set([400, 401, 403]);

/** Whether readings may have been missed in a state. */
export const mayHaveMissed = (state) => state === "away" || state === "paused";

export function listen(fields, { onReading, onState, devices }) {
  const ending = new AbortController();
  let wake = () => {};
  const retryNow = () => wake();
  addEventListener("online", retryNow);
  document.addEventListener("visibilitychange", retryNow);
  const pause = (ms) => new Promise((resolve) => {
    wake = resolve;
    setTimeout(resolve, ms);
  });
  run(fields, onReading, onState, devices, ending.signal, pause);
  return () => {
    ending.abort();
    removeEventListener("online", retryNow);
    document.removeEventListener("visibilitychange", retryNow);
    wake();
  };
}

async function run(fields, onReading, onState, devices, signal, pause) {
  const last = { id: "" };
  let pauseMs = FIRST_PAUSE_MS;
  while (!signal.aborted) {
    if (document.hidden) {
      onState("paused");
      await untilVisible(signal);
      pauseMs = FIRST_PAUSE_MS;
      continue;
    }
    const attempt = new AbortController();
    const stop = () => attempt.abort();
    const hide = () => document.hidden && attempt.abort();
    signal.addEventListener("abort", stop);
    document.addEventListener("visibilitychange", hide);
    try {
      await receive(fields, last, attempt, onReading, () => {
        pauseMs = FIRST_PAUSE_MS;
        onState("live");
      });
    } catch (error) {
      if (signal.aborted) return;
      if (FINAL.has(error.status)) return onState("refused", error);
      if (POLL.has(error.status)) return poll(devices, onReading, onState, signal, pause, untilVisible);
    } finally {
      signal.removeEventListener("abort", stop);
      document.removeEventListener("visibilitychange", hide);
    }
    if (signal.aborted) return;
    if (document.hidden) continue;
    onState("away");
    await pause(pauseMs * (0.5 + Math.random() / 2));
    pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 2);
  }
}

/** Wait until the tab is visible, or the subscription ends. */
export function untilVisible(signal) {
  return new Promise((resolve) => {
    const check = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", check);
      signal.removeEventListener("abort", check);
      resolve();
    };
    document.addEventListener("visibilitychange", check);
    signal.addEventListener("abort", check);
    check();
  });
}

async function receive(fields, last, attempt, onReading, onOpen) {
  let watchdog = setTimeout(() => attempt.abort(), SILENT_MS);
  try {
    const resume = last.id ? { "Last-Event-ID": last.id } : {};
    const response = await fetch(`/api/v1/live?${new URLSearchParams(fields)}&alerts=all`, {
      headers: { ...headers(), ...resume },
      signal: attempt.signal,
      cache: "no-store",
    });
    if (!response.ok) throw await errorOf(response);
    onOpen();
    readAlerts();
    const feed = parser((event) => {
      last.id = event.id;
      if (event.type === "reading") onReading(JSON.parse(event.data));
      else if (event.type === "alert") readAlerts();
    });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(watchdog);
      watchdog = setTimeout(() => attempt.abort(), SILENT_MS);
      feed(value);
    }
  } finally {
    clearTimeout(watchdog);
  }
}
