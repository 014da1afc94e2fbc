// The read API. Every call gives the JSON, or throws `Failed` with the status and the reason.

import { headers } from "./token.js";

export class Failed extends Error {
  constructor(status, message) {
    super(message);
    this.status = status; // 0: nobody answered
  }
}

export async function ask(path, signal) {
  let response;
  try {
    response = await fetch(path, { headers: headers(), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failed(0, "the server does not answer");
  }
  if (response.ok) return response.json();
  throw await failure(response);
}

export async function failure(response) {
  const body = await response.json().catch(() => null);
  return new Failed(response.status, body?.error?.message ?? `the answer is ${response.status}`);
}

const name = (device) => device.split("/").map(encodeURIComponent).join("/");

export const page = (fields) => ask(`/api/v1/devices?${new URLSearchParams(fields)}`);
export const device = (id) => ask(`/api/v1/devices/${name(id)}`);
export const collect = (id) => ask(`/collect?${new URLSearchParams({ device: id })}`);
export const status = () => ask("/api/v1/status");
export const history = (id, metric, window) =>
  ask(`/api/v1/devices/${name(id)}/metrics/${encodeURIComponent(metric)}/history?window=${window}`);
