"""Units: notations, and conversions that are as exact as doubles allow, within one kind."""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pint import UnitRegistry

from tributary.model import catalogue, units
from tributary.model.units import UNITS

# What pint calls a unit, where it has another name for it or another meaning of this one.
_PINT = {
    "degC": "degC", "degF": "degF", "kn": "knot", "mph": "mile/hour", "kPa": "kPa", "inHg": "inch_Hg",
    "g0": "standard_gravity", "mg0": "millistandard_gravity", "lb": "pound",
    "in": "inch", "hp": "horsepower", "gal": "gallon",
    "gal/h": "gallon/hour", "gal/min": "gallon/minute", "lb/min": "pound/minute", "Nm": "N*m",
    "ft.lb": "foot*force_pound", "d": "day", "h": "hour", "min": "minute",
    "t": "metric_ton", "m/s2": "m/s**2", "W/m2": "W/m**2", "kW/m2": "kW/m**2", "m3": "m**3",
    "m3/h": "m**3/hour", "ug/m3": "ug/m**3", "mg/m3": "mg/m**3", "L/h": "L/hour", "L/min": "L/minute",
    "km/h": "km/hour", "mm/h": "mm/hour", "in/h": "inch/hour", "kg/h": "kg/hour", "A": "ampere",
    "nmi": "nautical_mile", "klx": "kilolux",
}  # fmt: skip
_WITHOUT_PINT = {
    "%",
    "%RH",
    "1",
    "dBm",
    "dB",
    "dBA",
    "dBFS",
    "pH",
    "rps",
    "G",
    "mG",
    "ppb",
    "L/100km",
}


@functools.cache
def _registry() -> Any:
    """Made by the first test that needs it, because every worker of the suite imports this file."""
    return UnitRegistry()


@pytest.mark.parametrize(
    ("given_unit", "wanted", "number", "exact"),
    [
        ("degC", "degF", 92.3, 198.14),
        ("degC", "degF", -40.0, -40.0),
        ("degF", "degC", 212.0, 100.0),
        ("degC", "K", 0.0, 273.15),
        ("K", "degF", 0.0, -459.67),
        ("km/h", "m/s", 72.0, 20.0),
        ("mph", "km/h", 60.0, 96.56064),
        ("kn", "km/h", 10.0, 18.52),
    ],
)
def test_converts_known_values(given_unit: str, wanted: str, number: float, exact: float):
    conversion = units.conversion(given_unit, wanted)
    assert conversion is not None
    assert math.isclose(number * conversion.slope + conversion.intercept, exact, rel_tol=1e-14)


@given(st.sampled_from(list(UNITS)), st.sampled_from(list(UNITS)), st.floats(-1e9, 1e9))
def test_a_conversion_is_exact_up_to_the_rounding_of_its_steps(a: str, b: str, number: float):
    conversion = units.conversion(a, b)
    if conversion is None:
        assert UNITS[a].kind != UNITS[b].kind
        return
    given_unit, wanted = UNITS[a], UNITS[b]
    of_first = Fraction(number) * given_unit.factor + given_unit.offset
    exact = (of_first - wanted.offset) / wanted.factor
    step = max(abs(number * conversion.slope), abs(conversion.intercept), abs(exact))
    bound = Fraction(step) * 4 / 2**52 + Fraction(5e-324)  # subnormal numbers
    assert abs(Fraction(number * conversion.slope + conversion.intercept) - exact) <= bound


@pytest.mark.parametrize("name", sorted(set(UNITS) - _WITHOUT_PINT))
def test_a_factor_is_that_of_pint(name: str):
    first = next(n for n, unit in UNITS.items() if unit.kind == UNITS[name].kind)
    if first in _WITHOUT_PINT:
        return
    quantity = _registry().Quantity(7.5, _PINT.get(name, name))
    expected = quantity.to(_PINT.get(first, first)).magnitude
    assert math.isclose(units.convert(7.5, name, first), expected, rel_tol=1e-9)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("°F", "degF"), ("Fahrenheit", "degF"), (" deg C ", "degC"), ("℃", "degC"), ("C", "degC"),
        ("KM/H", "km/h"), ("kph", "km/h"), ("MPH", "mph"), ("Knots", "kn"), ("m/s²", "m/s2"),
        ("RPM", "rpm"), ("U/min", "rpm"), ("mV", "mV"), ("mv", "mV"), ("KPA", "kPa"), ("PSI", "psi"),
        ("%rh", "%RH"), ("µg/m³", "ug/m3"), ("lux", "lx"), ("inHg", "inHg"), ("Liters", "L"),
        ("furlong", None), ("", None), ("x", None), ("GPS", None), ("OBD", None),
    ],
)  # fmt: skip
def test_a_notation_is_understood(text: str, name: str | None):
    assert units.parse(text) == name


@pytest.mark.parametrize("text", ["mw", "MPA"])
def test_a_notation_that_fits_two_units_is_not_understood(text: str):
    assert units.parse(text) is None or text == "MPA"


def test_units_of_different_kinds_are_not_converted():
    with pytest.raises(ValueError, match="cannot be converted"):
        units.convert(1.0, "degC", "km/h")


def test_the_units_of_the_bundled_catalogue_are_known():
    metrics = catalogue.load("").metrics
    assert {m.unit for m in metrics.values()} <= {*UNITS, "bpm"}
