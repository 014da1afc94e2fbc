// Client of the read API. Every function returns the JSON body or throws `RequestError`.

import { headers } from "./token.js";

export class RequestError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status; // 0: no response
  }
}

export async function request(path, options = {}) {
  const response = await fetch(path, { headers: headers(), ...options }).catch(() => {
    throw new RequestError(0, "no response from the server");
  });
  if (!response.ok) throw await errorOf(response);
  return response.status === 204 ? null : response.json();
}

export const send = (path, body) => request(path, { method: "POST", body: JSON.stringify(body) });
export const remove = (path) => request(path, { method: "DELETE" });

export async function errorOf(response) {
  const body = await response.json().catch(() => null);
  return new RequestError(response.status, body?.error?.message ?? `the server responded with ${response.status}`);
}

const DOTS = /(^|\/)\.{1,2}(\/|$)/; // parts that a browser removes from a path, unless slashes are encoded
const pathOf = (device) => (DOTS.test(device) ? encodeURIComponent(device)
  : device.split("/").map(encodeURIComponent).join("/"));

export const fleet = (fields) => request(`/api/v1/fleet?${new URLSearchParams(fields)}`);
export const device = (id) => request(`/api/v1/devices/${pathOf(id)}`);
export const collect = (id) => request(`/collect?${new URLSearchParams({ device: id })}`);
export const status = () => request("/api/v1/status");
export const code = () => request(`/dashboard/qr?${new URLSearchParams({ origin: location.origin })}`);
const metricOf = (id, metric) => `/api/v1/devices/${pathOf(id)}/metrics/${encodeURIComponent(metric)}`;
/** `span`: the parameters window, or from and to. */
export const history = (id, metric, span) =>
  request(`${metricOf(id, metric)}/history?${new URLSearchParams(span)}`);
export const statistics = (id, metric, window) => request(`${metricOf(id, metric)}?window=${window}`);
