// The token of this browser tab; the user is prompted when the server requires one.

import { el } from "./dom.js";

const NAME = "tributary-token";

export function headers() {
  const token = sessionStorage.getItem(NAME);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

export const isUsed = () => sessionStorage.getItem(NAME) !== null;

/** Store the token of a URL that ends with `#token=…`, and remove it from the URL. */
export function takeFromUrl() {
  const match = /^#token=([\w-]+)$/.exec(location.hash);
  if (!match) return;
  sessionStorage.setItem(NAME, match[1]);
  history.replaceState(null, "", "#/");
}

/** Forget the token, and all that was read with it. */
export function signOut() {
  sessionStorage.clear();
  history.replaceState(null, "", "#/");
  location.reload();
}

/** Replace the content with a prompt for a token; calls `done` when one is entered. */
export function promptForToken(main, message, done) {
  const input = el("input", {
    id: "token", type: "password", autocomplete: "off", required: true, spellcheck: "false",
  });
  const form = el("form", { class: "card token" },
    el("h1", {}, "Token required"),
    el("p", {}, message),
    el("label", { for: "token" }, "Token with the scope collect"),
    input,
    el("button", { class: "button" }, "Use in this tab"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(NAME, input.value.trim());
    done();
  });
  main.replaceChildren(form);
  input.focus();
}
