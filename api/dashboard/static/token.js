// The token of this browser tab, asked for when the server wants one.

import { el } from "./dom.js";

const NAME = "tributary-token";

export function headers() {
  const token = sessionStorage.getItem(NAME);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

export const isUsed = () => sessionStorage.getItem(NAME) !== null;

/** Keep the token of an address that ends with `#token=…`, and remove it from the address. */
export function takeFromAddress() {
  const match = /^#token=([\w-]+)$/.exec(location.hash);
  if (!match) return;
  sessionStorage.setItem(NAME, match[1]);
  history.replaceState(null, "", "#/");
}

/** Ask for a token in place of the content; `done` is called when there is one. */
export function ask(main, message, done) {
  const input = el("input", {
    id: "token", type: "password", autocomplete: "off", required: true, spellcheck: "false",
  });
  const form = el("form", { class: "card token" },
    el("h1", {}, "A token is needed"),
    el("p", {}, message),
    el("label", { for: "token" }, "Token with the scope collect"),
    input,
    el("button", { class: "button" }, "Use it in this tab"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(NAME, input.value.trim());
    done();
  });
  main.replaceChildren(form);
  input.focus();
}
