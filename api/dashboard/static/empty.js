// The page before the first reading: how to send one.

import { code } from "./api.js";
import { el } from "./dom.js";
import { isUsed } from "./token.js";

const PLAIN = /^[\w.:/-]+$/;
/** Quote a word for the shell. */
const quoted = (text) => (PLAIN.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

export function recordUrl() {
  const given = document.documentElement.dataset.recordUrl;
  return `${(given || location.origin).replace(/\/+$/, "")}/record`;
}

const svg = (tag) => document.createElementNS("http://www.w3.org/2000/svg", tag);

/** The QR code of the page for a phone, on demand, because it may contain the token. */
function phone() {
  const details = el("details", {}, el("summary", {}, "Open on a phone"));
  details.addEventListener("toggle", () => code().then(({ url, has_token, size, path }) => {
    const image = svg("svg");
    image.setAttribute("class", "qr");
    image.setAttribute("viewBox", `0 0 ${size} ${size}`);
    const dark = svg("path");
    dark.setAttribute("d", path);
    image.append(dark);
    details.append(image, el("p", {}, url, has_token && " with your token: show it to nobody else"));
  }).catch((error) => details.append(el("p", {}, error.message))), { once: true });
  return details;
}

export function empty() {
  const token = isUsed() ? '-H "Authorization: Bearer $TRIBUTARY_TOKEN" ' : "";
  const line = `curl ${token}-d '{"device":"car-7","engine_temperature":92.3}' ${quoted(recordUrl())}`;
  const button = el("button", { class: "button", type: "button" }, "Copy");
  const copy = () => navigator.clipboard.writeText(line)
    .then(() => { button.textContent = "Copied"; });
  if (navigator.clipboard) button.addEventListener("click", copy);
  else button.hidden = true;
  return el("section", { class: "card empty" },
    el("h1", {}, "No readings yet"),
    el("p", {}, "Send the first reading from a terminal. It appears here immediately, without a reload."),
    el("div", { class: "command" },
      el("pre", { tabindex: "0", "aria-label": "command" }, el("code", {}, line)), button),
    isUsed() && el("p", { class: "hint" }, "Set a token with the scope record first: ",
      el("code", {}, "export TRIBUTARY_TOKEN=…")),
    el("p", { class: "hint" }, "Or simulate a fleet of cars: ",
      el("code", {}, `.venv/bin/tributary simulate --url ${quoted(location.origin)}`)),
    phone());
}
