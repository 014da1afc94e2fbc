// The URL of the page: which view it shows, and all that the view needs to show the same again.

const LIST = "tributary-list";
const DEFAULTS = { q: "", state: "all", sort: "name", page: 1 };

const DEVICE = /^(?!\.{1,2}$)[\w.:/-]{1,128}$/;

/** Whether the server accepts the name; stored ones may be older than the rule. */
export const isDevice = (name) => DEVICE.test(name);

/** The view of a hash: `{ name: "list" | "alerts" | "device" | "drive", … }`. */
export function parse(hash) {
  const [path, query] = hash.replace(/^#/, "").split("?");
  const fields = new URLSearchParams(query ?? "");
  if (path === "/alerts") return { name: "alerts" };
  const [, name, device] = /^\/(device|drive)\/(.+)$/.exec(path) ?? [];
  try {
    if (device) return { name, device: decodeURIComponent(device), fields };
  } catch {
    // not a valid URL: show the list
  }
  const page = Number(fields.get("page") ?? 1);
  return {
    name: "list",
    q: (fields.get("q") ?? "").slice(0, 128),
    state: fields.get("state") ?? DEFAULTS.state,
    sort: fields.get("sort") ?? DEFAULTS.sort, // with "-" in front: descending
    page: Number.isInteger(page) && page > 0 ? page : 1,
  };
}

/** The hash of a page of the list, without what is the default. */
export function listHash(wanted) {
  const fields = new URLSearchParams();
  for (const [name, value] of Object.entries(DEFAULTS)) {
    if (wanted[name] !== value) fields.set(name, wanted[name]);
  }
  return `#/${fields.size ? `?${fields}` : ""}`;
}

/** The hash of a device; fields without a value are left out. */
export function deviceHash(device, fields = {}, name = "device") {
  const given = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = new URLSearchParams(given);
  return `#/${name}/${encodeURIComponent(device)}${query.size ? `?${query}` : ""}`;
}

/** Where the list was left, to return there from a device. */
export const keepList = (wanted) => sessionStorage.setItem(LIST, listHash(wanted));
export const lastList = () => sessionStorage.getItem(LIST) ?? "#/";
