"""Units of measurement: their names and notations, and linear conversions. Pure.

The canonical names are those of the catalogue (`degC`, `km/h`, `%RH`). `tests/model/test_units.py`
compares every factor with pint.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple


class Unit(NamedTuple):
    """A value in this unit is `value * factor + offset` in the first unit of its kind."""

    kind: str
    factor: Fraction
    offset: Fraction = Fraction(0)


class Conversion(NamedTuple):
    """A linear conversion: `value * slope + intercept`."""

    slope: float
    intercept: float

    def value(self, value: float) -> float:
        """Convert one value."""
        return value if self is SAME else value * self.slope + self.intercept


SAME = Conversion(1.0, 0.0)

_INCH, _FOOT, _MILE = Fraction(254, 10_000), Fraction(3048, 10_000), Fraction(1_609_344, 1000)  # m
_POUND, _GRAVITY = Fraction(45_359_237, 100_000_000), Fraction(980_665, 100_000)  # kg, m/s2
_GALLON = Fraction(3_785_411_784, 1_000_000_000)  # of the US, in L
_PSI = _POUND * _GRAVITY / _INCH**2  # Pa
_MMHG = Fraction(133_322_387_415, 10**9)  # Pa, conventional
_PI = Fraction(3_141_592_653_589_793_238, 10**18)

# By kind: name → factor, or factor and offset.
# fmt: off  (a table)
_KINDS: dict[str, dict[str, Fraction | int | tuple[Fraction, Fraction]]] = {
    "temperature": {
        "degC": 1,
        "degF": (Fraction(5, 9), Fraction(-160, 9)),
        "K": (Fraction(1), Fraction(-27_315, 100)),
    },
    "speed": {
        "m/s": 1,
        "km/h": Fraction(1000, 3600),
        "mph": _MILE / 3600,
        "kn": Fraction(1852, 3600),
        "ft/s": _FOOT,
    },
    "pressure": {
        "Pa": 1,
        "hPa": 100,
        "kPa": 1000,
        "MPa": 10**6,
        "bar": 10**5,
        "mbar": 100,
        "psi": _PSI,
        "inHg": _MMHG * 254 / 10,
        "mmHg": _MMHG,
        "atm": 101_325,
    },
    "length": {
        "m": 1,
        "mm": Fraction(1, 1000),
        "cm": Fraction(1, 100),
        "km": 1000,
        "in": _INCH,
        "ft": _FOOT,
        "mi": _MILE,
        "nmi": 1852,
    },
    "rain rate": {"mm/h": 1, "in/h": _INCH * 1000},
    "acceleration": {"m/s2": 1, "g0": _GRAVITY, "mg0": _GRAVITY / 1000},
    "angle": {"deg": 1, "rad": 180 / _PI},
    "angular velocity": {"rad/s": 1, "deg/s": _PI / 180},
    "magnetic flux density": {
        "uT": 1,
        "mT": 1000,
        "G": 100,
        "mG": Fraction(1, 10),
        "nT": Fraction(1, 1000),
    },
    "voltage": {"V": 1, "mV": Fraction(1, 1000), "kV": 1000, "uV": Fraction(1, 10**6)},
    "current": {"A": 1, "mA": Fraction(1, 1000), "uA": Fraction(1, 10**6)},
    "power": {
        "W": 1,
        "mW": Fraction(1, 1000),
        "kW": 1000,
        "MW": 10**6,
        "hp": Fraction(74_569_987_158, 10**8),
    },
    "energy": {
        "kWh": 1,
        "Wh": Fraction(1, 1000),
        "MWh": 1000,
        "J": Fraction(1, 3_600_000),
        "MJ": Fraction(10, 36),
    },
    "irradiance": {"W/m2": 1, "kW/m2": 1000},
    "illuminance": {"lx": 1, "klx": 1000},
    "volume": {"L": 1, "mL": Fraction(1, 1000), "m3": 1000, "gal": _GALLON},
    "flow": {"L/h": 1, "L/min": 60, "m3/h": 1000, "gal/h": _GALLON, "gal/min": _GALLON * 60},
    "mass flow": {"g/s": 1, "kg/h": Fraction(1000, 3600), "lb/min": _POUND * 1000 / 60},
    "mass": {"kg": 1, "g": Fraction(1, 1000), "t": 1000, "lb": _POUND},
    "torque": {"Nm": 1, "ft.lb": _FOOT * _POUND * _GRAVITY},
    "consumption": {"L/100km": 1},
    "concentration": {"ug/m3": 1, "mg/m3": 1000},
    "fraction": {"ppm": 1, "ppb": Fraction(1, 1000)},
    "ratio": {"%": 1, "%RH": 1, "1": 100},
    "rotation": {"rpm": 1, "rps": 60},
    "frequency": {"Hz": 1, "kHz": 1000, "MHz": 10**6, "GHz": 10**9},
    "duration": {
        "s": 1,
        "ms": Fraction(1, 1000),
        "us": Fraction(1, 10**6),
        "min": 60,
        "h": 3600,
        "d": 86_400,
    },
    "signal": {"dBm": 1},
    "sound": {"dB": 1},  # decibels of different references are not convertible
    "A-weighted sound": {"dBA": 1},
    "digital level": {"dBFS": 1},
    "acidity": {"pH": 1},
}
# fmt: on
UNITS: dict[str, Unit] = {
    name: Unit(kind, *map(Fraction, given if isinstance(given, tuple) else (given,)))
    for kind, units in _KINDS.items()
    for name, given in units.items()
}

# Other notations. Upper and lower case only matter where two units differ by nothing else.
_NOTATIONS = {
    "degC": "C °C ℃ ºC deg.C deg_C degrees_C celsius degrees_celsius degree_celsius grad_C Cel",
    "degF": "F °F ℉ ºF deg.F deg_F degrees_F fahrenheit degrees_fahrenheit degree_fahrenheit",
    "K": "°K kelvin",
    "m/s": "mps m/sec m·s-1 m.s-1 ms-1 meters/second metres/second m_s",
    "km/h": "kmh kph kmph km/hr km/u km·h-1 kmh-1 km_h",
    "mph": "mi/h mi/hr miles/h miles/hour",
    "kn": "kt kts knot knots",
    "ft/s": "fps ft/sec",
    "Pa": "pascal pascals",
    "hPa": "hectopascal hectopascals",
    "kPa": "kilopascal",
    "mbar": "mb millibar millibars",
    "bar": "bars",
    "psi": "psig lb/in2 lb/in² lbf/in2",
    "inHg": "in.Hg in_Hg in-Hg inches_Hg ″Hg",
    "mmHg": "mm.Hg mm_Hg torr",
    "m": "meter meters metre metres",
    "cm": "centimeter centimeters",
    "mm": "millimeter millimeters",
    "km": "kms kilometer kilometers kilometre kilometres",
    "in": "inch inches",
    "ft": "feet foot",
    "mi": "mile miles",
    "mm/h": "mm/hr mmh",
    "in/h": "in/hr inh",
    "m/s2": "m/s² m/s^2 m/s/s m/sec2 m·s-2 ms-2",
    "g0": "g_0 gee gs",
    "deg": "° degree degrees",
    "rad": "radian radians",
    "rad/s": "rad/sec",
    "deg/s": "°/s dps deg/sec",
    "uT": "µT μT microtesla",
    "V": "volt volts Volt",
    "mV": "millivolt millivolts",
    "A": "amp amps ampere amperes",
    "mA": "milliamp milliamps",
    "W": "watt watts",
    "kW": "kilowatt kilowatts",
    "hp": "bhp",
    "W/m2": "W/m² W/m^2 w/m2",
    "kWh": "kilowatt_hours kW·h",
    "Wh": "watt_hours",
    "lx": "lux",
    "L": "l liter liters litre litres ltr",
    "mL": "ml",
    "m3": "m³ m^3",
    "gal": "gallon gallons",
    "L/h": "l/h l/hr",
    "L/min": "l/min lpm",
    "m3/h": "m³/h",
    "gal/h": "gph gal/hr",
    "gal/min": "gpm",
    "g/s": "g/sec gm/s grams/s",
    "lb/min": "lbs/min",
    "kg": "kilogram kilograms",
    "lb": "lbs pound pounds",
    "Nm": "N·m N.m N-m newton_meter",
    "ft.lb": "ft-lb ftlb ft·lb lb-ft lb.ft",
    "L/100km": "l/100km L/100_km",
    "ug/m3": "µg/m³ μg/m³ µg/m3 μg/m3 ug/m³",
    "mg/m3": "mg/m³",
    "%": "percent pct prozent",
    "%RH": "%rh %_RH %rH RH% rh",
    "rpm": "r/min rev/min U/min 1/min min-1 min⁻¹ revs/min revolutions/min",
    "Hz": "hertz",
    "s": "sec secs second seconds",
    "ms": "msec millisecond milliseconds",
    "us": "µs μs microsecond microseconds",
    "min": "mins minute minutes",
    "h": "hr hrs hour hours",
    "d": "day days",
}


def _folded(text: str) -> str:
    return text.casefold().replace(" ", "_")


def _index() -> tuple[dict[str, str], dict[str, str]]:
    """Names by notation: as written, and ignoring case where this is unambiguous."""
    exact = {name: name for name in UNITS}
    for name, notations in _NOTATIONS.items():
        exact.update(dict.fromkeys(notations.split(), name))
    folded: dict[str, set[str]] = {}
    for notation, name in exact.items():
        folded.setdefault(_folded(notation), set()).add(name)
    return exact, {text: name for text, (name, *others) in folded.items() if not others}


_EXACT, _FOLDED = _index()


def parse(text: str) -> str | None:
    """The canonical name of a unit in any known notation (`°F`, `kph`, `Degrees Celsius`), or None.

    `g` is gram and `G` gauss here; acceleration in multiples of gravity is `g0`.
    """
    stripped = text.strip()
    return _EXACT.get(stripped) or _FOLDED.get(_folded(stripped))


@lru_cache(maxsize=256)
def conversion(given: str, wanted: str) -> Conversion | None:
    """The conversion between two canonical units; None if they are of different kinds.

    The exact fractions are rounded once, here.
    """
    if given == wanted:
        return SAME
    a, b = UNITS.get(given), UNITS.get(wanted)
    if a is None or b is None or a.kind != b.kind:
        return None
    slope, intercept = float(a.factor / b.factor), float((a.offset - b.offset) / b.factor)
    return SAME if (slope, intercept) == SAME else Conversion(slope, intercept)


def convert(value: float, given: str, wanted: str) -> float:
    """Convert a value between two canonical units.

    Raises:
        ValueError: one is unknown, or they are of different kinds.
    """
    found = conversion(given, wanted)
    if found is None:
        raise ValueError(f"{given!r} cannot be converted to {wanted!r}")
    return found.value(value)
