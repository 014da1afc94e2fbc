// Formats numbers, ages and units for people.

const UNITS = {
  degC: "°C", degF: "°F", percent: "%", km_per_hour: "km/h", "km/h": "km/h", mph: "mph",
  m_per_s: "m/s", volt: "V", ampere: "A", watt: "W", hectopascal: "hPa", rpm: "rpm",
};
const plain = new Intl.NumberFormat("en", { maximumSignificantDigits: 5 });
const tiny = new Intl.NumberFormat("en", { notation: "scientific", maximumSignificantDigits: 4 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

export function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-4 || size >= 1e9) ? tiny.format(value) : plain.format(value);
}

const fixed = [0, 1, 2, 3, 4].map((digits) => new Intl.NumberFormat("en", {
  minimumFractionDigits: digits, maximumFractionDigits: digits,
}));

/**
 * Format a live value with as many decimals as the magnitude of another one, its average, calls
 * for: the width stays constant and the two are easy to compare.
 */
export function steady(value, like = value) {
  if (value === null || value === undefined) return "–";
  const size = Math.max(Math.abs(like ?? 0), Math.abs(value));
  if (size !== 0 && (size < 1e-3 || size >= 1e9)) return tiny.format(value);
  return fixed[size === 0 || size >= 1000 ? 0 : size >= 100 ? 1 : size >= 0.1 ? 2 : 4].format(value);
}

export function clock(s, withSeconds) {
  return new Date(s * 1000).toLocaleTimeString("en-GB", {
    hour: "2-digit", minute: "2-digit", second: withSeconds ? "2-digit" : undefined,
  });
}

/** Date and time. */
export function moment(s) {
  return new Date(s * 1000).toLocaleString("en-GB", {
    year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit",
  });
}

export function day(s) {
  return new Date(s * 1000).toLocaleDateString("en-GB", { month: "short", day: "numeric" });
}

export const count = (value) => (value === undefined ? "–" : whole.format(value));
export const compact = (value) => (value < 10_000 ? whole.format(value) : short.format(value));

export function age(ms) {
  const s = ms / 1000;
  if (s < 10) return `${Math.max(0, s).toFixed(1)} s`;
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  if (s < 172_800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86_400)} days`;
}

export const unit = (name) => (name ? (UNITS[name] ?? name) : "");
export const spaced = (name) => name.replaceAll("_", " ").replaceAll(".", " · ");

/** `15m` → 900 */
export function seconds(window) {
  const match = /^(\d+)(ms|s|m|h|d)$/.exec(window);
  return match ? match[1] * { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400 }[match[2]] : 60;
}
