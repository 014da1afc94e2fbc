// One subscription: readings as they come, for as long as the page wants them. It comes back by
// itself, tells the server what it has, and says in which state it is:
// "live", "away" (nobody answers; it tries again), "polling" (the server cannot push), "paused"
// (the tab is hidden: it holds no connection, of which a browser has only six for a server).

import { failure } from "./api.js";
import { poll } from "./poll.js";
import { parser } from "./sse.js";
import { headers } from "./token.js";

const SILENT_MS = 25_000; // the server says something every ten seconds
const FIRST_PAUSE_MS = 300;
const LONGEST_PAUSE_MS = 4_000;
const POLL = new Set([404, 501]);
const FINAL = new Set([400, 401, 403]);

/** Whether something may have been missed in a state. */
export const isBehind = (state) => state === "away" || state === "paused";

export function listen(fields, { onReading, onState, devices }) {
  const ending = new AbortController();
  let wake = () => {};
  const nudge = () => wake();
  addEventListener("online", nudge);
  document.addEventListener("visibilitychange", nudge);
  const pause = (ms) => new Promise((resolve) => {
    wake = resolve;
    setTimeout(resolve, ms);
  });
  follow(fields, onReading, onState, devices, ending.signal, pause);
  return () => {
    ending.abort();
    removeEventListener("online", nudge);
    document.removeEventListener("visibilitychange", nudge);
    wake();
  };
}

async function follow(fields, onReading, onState, devices, signal, pause) {
  const said = { id: "" };
  let pauseMs = FIRST_PAUSE_MS;
  while (!signal.aborted) {
    if (document.hidden) {
      onState("paused");
      await shown(signal);
      pauseMs = FIRST_PAUSE_MS;
      continue;
    }
    const attempt = new AbortController();
    const stop = () => attempt.abort();
    const hide = () => document.hidden && attempt.abort();
    signal.addEventListener("abort", stop);
    document.addEventListener("visibilitychange", hide);
    try {
      await once(fields, said, attempt, onReading, () => {
        pauseMs = FIRST_PAUSE_MS;
        onState("live");
      });
    } catch (error) {
      if (signal.aborted) return;
      if (FINAL.has(error.status)) return onState("refused", error);
      if (POLL.has(error.status)) return poll(devices, onReading, onState, signal, pause, shown);
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

/** Wait until the tab is looked at, or the subscription ends. */
export function shown(signal) {
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

async function once(fields, said, attempt, onReading, onOpen) {
  let watchdog = setTimeout(() => attempt.abort(), SILENT_MS);
  try {
    const resume = said.id ? { "Last-Event-ID": said.id } : {};
    const response = await fetch(`/api/v1/live?${new URLSearchParams(fields)}`, {
      headers: { ...headers(), ...resume },
      signal: attempt.signal,
      cache: "no-store",
    });
    if (!response.ok) throw await failure(response);
    onOpen();
    const feed = parser((event) => {
      said.id = event.id;
      if (event.type === "reading") onReading(JSON.parse(event.data));
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
