// Entry point. The URL selects the view; a view ends before the next one starts.

import { AlertList } from "./alertlist.js";
import { readAlerts } from "./alerts.js";
import { el, setText } from "./dom.js";
import { Device } from "./device.js";
import { Drive } from "./drive.js";
import { Fleet } from "./fleet.js";
import { clock } from "./format.js";
import { Health } from "./health.js";
import { deviceHash, lastList, parse } from "./route.js";
import { isUsed, promptForToken, signOut, takeFromUrl } from "./token.js";

const main = document.getElementById("content");
const link = document.getElementById("link");
const notice = document.getElementById("notice");
const out = document.getElementById("out");
const LABELS = {
  connecting: "Connecting",
  live: "Live",
  polling: "Every 2 s",
  away: "Reconnecting",
  refused: "No access",
  paused: "Paused",
};
let view = null;

function onState(state, error) {
  link.dataset.state = state;
  setText(link, LABELS[state]);
  out.hidden = !isUsed();
  document.body.classList.toggle("away", state === "away");
  notice.hidden = state !== "away";
  if (state === "away") {
    if (!notice.textContent) {
      const time = clock(Date.now() / 1000, true);
      setText(notice, `Connection lost. Values are as of ${time}; reconnecting.`);
    }
  } else {
    setText(notice, "");
  }
  if (state === "refused" && (error?.status === 401 || error?.status === 403)) {
    view?.end();
    view = null;
    promptForToken(main, error.message, show);
  } else if (state === "refused") {
    main.replaceChildren(el("section", { class: "card" }, el("h1", {}, error.message)));
  }
}

function show() {
  const wanted = parse(location.hash);
  if (view instanceof Fleet && wanted.name === "list") return view.showPage(wanted);
  const Other = { alerts: AlertList, device: Device, drive: Drive }[wanted.name];
  if (Other && view instanceof Other && view.device === wanted.device) return view.apply(wanted);
  view?.end();
  view = null;
  onState("connecting");
  view = Other ? new Other(main, wanted, onState) : new Fleet(main, wanted, onState);
  scrollTo(0, 0);
  return view;
}

addEventListener("hashchange", () => {
  takeFromUrl();
  if (location.hash === "#content") return;
  show();
});
out.addEventListener("click", signOut);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("keydown", (event) => {
  const search = document.getElementById("search");
  const isTyping = event.target.matches?.("input:not([type=radio], [type=checkbox]), textarea");
  if (event.key === "/" && search && !isTyping) {
    event.preventDefault();
    search.focus();
  }
  if (event.key === "Escape" && (view instanceof Device || view instanceof AlertList) && !isTyping) location.hash = lastList();
  if (event.key === "Escape" && view instanceof Drive) location.hash = deviceHash(view.device);
});
takeFromUrl();
show();
readAlerts();
new Health(document.getElementById("health")).run();
