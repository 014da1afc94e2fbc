// Entry point. The URL selects the view; a view ends before the next one starts.

import { el, setText } from "./dom.js";
import { Device } from "./device.js";
import { Fleet } from "./fleet.js";
import { clock } from "./format.js";
import { Health } from "./health.js";
import { lastList, parse } from "./route.js";
import { promptForToken, takeFromUrl } from "./token.js";

const main = document.getElementById("content");
const link = document.getElementById("link");
const notice = document.getElementById("notice");
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
  view?.end();
  onState("connecting");
  view = wanted.name === "list"
    ? new Fleet(main, wanted, onState) : new Device(main, wanted.device, onState);
  scrollTo(0, 0);
  return view;
}

addEventListener("hashchange", () => {
  takeFromUrl();
  if (location.hash === "#content") return;
  show();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("keydown", (event) => {
  const search = document.getElementById("search");
  const isTyping = event.target.matches?.("input, textarea");
  if (event.key === "/" && search && !isTyping) {
    event.preventDefault();
    search.focus();
  }
  if (event.key === "Escape" && view instanceof Device) location.hash = lastList();
});
takeFromUrl();
show();
new Health(document.getElementById("health")).run();
