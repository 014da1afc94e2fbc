// Other devices in the charts of a device: which, and their names as removable labels.

import { fleet } from "./api.js";
import { el } from "./dom.js";

export const OTHERS_MAX = 4;
const SUGGESTED = 20;
const TYPING_MS = 200;

export class Compare {
  /** `onChange(others)` is called with the names that the user chooses. */
  constructor(device, onChange) {
    this.device = device;
    this.onChange = onChange;
    this.names = el("ul", { class: "others", "aria-label": "Compared devices" });
    this.list = el("datalist", { id: "suggested" });
    this.input = el("input", {
      type: "text", list: "suggested", placeholder: "Compare with …", maxlength: 128,
      autocomplete: "off", spellcheck: "false", "aria-label": "Compare with another device",
    });
    this.input.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.suggest(), TYPING_MS);
    });
    this.input.addEventListener("focus", () => this.suggest());
    this.input.addEventListener("change", () => {
      const name = this.input.value.trim();
      if (!name || name === this.device || this.others.includes(name)) return;
      this.input.value = "";
      onChange([...this.others, name]);
    });
    this.element = el("div", { class: "compare" }, this.input, this.list, this.names);
  }

  async suggest() {
    const found = await fleet({ search: this.input.value.trim(), limit: SUGGESTED }).catch(() => null);
    const names = (found?.devices ?? []).map((entry) => entry.device)
      .filter((name) => name !== this.device && !this.others.includes(name));
    this.list.replaceChildren(...names.map((value) => el("option", { value })));
  }

  show(others) {
    this.others = others;
    this.input.hidden = others.length >= OTHERS_MAX;
    this.names.replaceChildren(...others.map((name, i) => {
      const remove = el("button", { class: "button", type: "button", "aria-label": `Remove ${name}` }, "×");
      remove.addEventListener("click", () => this.onChange(others.filter((other) => other !== name)));
      return el("li", { class: `other other-${i}` }, name, remove);
    }));
  }

  end() {
    clearTimeout(this.typing);
  }
}
