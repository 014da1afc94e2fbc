// Elements are made here and nowhere else. What comes from a device only ever becomes a text
// node or the value of an attribute, so no name of a device can be anything but a name.

export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, String(value));
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Set a text only if it is another: the page is not laid out again for nothing. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export const wantsStillness = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
