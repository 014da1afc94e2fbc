// Fallback for a server without live updates: polls `/collect` for each device every two seconds.

import { collect } from "./api.js";

const ROUND_MS = 2_000;

export async function poll(devices, onReading, onState, signal, pause, untilVisible) {
  while (!signal.aborted) {
    await untilVisible(signal);
    if (signal.aborted) return;
    const began = performance.now();
    try {
      for (const device of devices()) {
        if (signal.aborted) return;
        await collect(device).then(onReading, (error) => {
          if (error.status !== 404) throw error;
        });
      }
      onState("polling");
    } catch (error) {
      onState(error.status === 401 || error.status === 403 ? "refused" : "away", error);
    }
    await pause(Math.max(200, ROUND_MS - (performance.now() - began)));
  }
}
