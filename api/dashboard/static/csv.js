// A CSV file of the points in the charts. Pure, except `download`.

import { el } from "./dom.js";

const HEAD = ["time", "device", "metric", "unit", "current", "average", "mean", "max", "min"];
const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** `lines`: `{ device, metric, unit, columns }` with the columns of a chart. */
export function csv(lines) {
  const rows = lines.flatMap(({ device, metric, unit, columns: [times, ...values] }) => times
    .map((s, i) => [new Date(s * 1000).toISOString(), device, metric, unit, ...values.map((column) => column[i])])
    .filter((row) => row.slice(4).some((value) => value !== null && value !== undefined)));
  return [HEAD, ...rows].map((row) => row.map((value) => quoted(String(value ?? ""))).join(",")).join("\r\n") + "\r\n";
}

export function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  el("a", { href: url, download: name.replace(/[^\w.-]+/g, "-") }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1_000);
}
