// Formats numbers, ages and units for people.

const UNITS = {
  degC: "°C", degF: "°F", percent: "%", km_per_hour: "km/h", "km/h": "km/h", mph: "mph",
  psi: "psi", inHg: "inHg", "in/h": "in/h", "mm/h": "mm/h",
  m_per_s: "m/s", volt: "V", ampere: "A", watt: "W", hectopascal: "hPa", rpm: "rpm",
};
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const brief6 = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 6 });
const DECIMALS_MAX = 8;
const plain = Array.from({ length: DECIMALS_MAX + 1 }, (_, decimals) => new Intl.NumberFormat("en", {
  maximumFractionDigits: decimals,
}));
const HUGE = 1e12;
const TINY = 1e-4;
const BRIEF = 1e6;

/** `1.2346e12`: a number that would need too many zeros. */
export const scientific = (value, digits) => {
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  return `${Number(mantissa)}e${Number(exponent)}`;
};

/** A number with this many decimals at most. */
export function rounded(value, decimals) {
  const text = plain[Math.max(0, Math.min(DECIMALS_MAX, decimals))].format(value);
  return text === "-0" ? "0" : text;
}

/** As many decimals as `size` needs for `digits` significant ones; integers are never rounded. */
function significant(value, digits, size) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const own = Math.abs(value);
  if (own >= HUGE || (own < TINY && size < TINY)) return scientific(value, digits);
  return rounded(value, digits - Math.floor(Math.log10(Math.max(size, TINY))) - 1);
}

export const number = (value) => significant(value, 5, Math.abs(value));

/** A live value with the decimals that the greater of itself and its average needs. */
export const steady = (value, like = value) => significant(value, 4, Math.max(Math.abs(like ?? 0), Math.abs(value)));

/** Six digits, for narrow columns: `123.457M`. */
export const brief = (value) => {
  const isLong = value !== null && Math.abs(value) >= BRIEF && Math.abs(value) < HUGE;
  return isLong ? brief6.format(value) : number(value);
};

/** The labels of an axis: enough digits to tell neighbours apart. */
export function tickLabels(values) {
  const size = Math.max(...values.map(Math.abs));
  const step = Math.abs(values[1] - values[0]) || size || 1;
  const isPlain = size < HUGE && (size >= TINY || size === 0);
  const digits = Math.min(15, Math.ceil(Math.log10(size / step)) + 2);
  return values.map((value) => {
    if (value === 0) return "0";
    return isPlain ? rounded(value, Math.ceil(-Math.log10(step)) + 1) : scientific(value, digits);
  });
}

// A formatter is expensive to create, and a chart has many labels.
const dates = (options) => new Intl.DateTimeFormat("en-GB", options);
const TIME = { hour: "2-digit", minute: "2-digit" };
const [minutes, withSeconds] = [dates(TIME), dates({ ...TIME, second: "2-digit" })];
const days = dates({ month: "short", day: "numeric" });
const moments = dates({ year: "numeric", month: "short", day: "numeric", ...TIME });

export const clock = (s, hasSeconds) => (hasSeconds ? withSeconds : minutes).format(s * 1000);
export const moment = (s) => moments.format(s * 1000); // date and time
export const day = (s) => days.format(s * 1000);

export const isToday = (s) => new Date(s * 1000).toDateString() === new Date().toDateString();

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

/** 900 → `15 min` */
export function duration(s) {
  const [size, name] = [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]].find(([each]) => s >= each) ?? [1, "s"];
  return `${rounded(s / size, 2)} ${name}`;
}

/** `15m` → 900 */
export function seconds(window) {
  const match = /^(\d+)(ms|s|m|h|d)$/.exec(window);
  return match ? match[1] * { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400 }[match[2]] : 60;
}
