"""Unit conversions are as exact as doubles allow, and only within one kind of unit."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.read import units
from api.read.bodies import Window
from api.read.units import SAME, UNITS, UnitPreference
from tributary.model import catalogue

CATALOGUE = catalogue.parse('[t]\nunit = "degC"\n[v]\nunit = "km/h"\n[rpm]\nunit = "rpm"')


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


def test_a_preference_does_not_apply_to_other_kinds_of_units():
    preference = UnitPreference(["degF", "m/s"], CATALOGUE)
    assert preference.for_metric("t")[0] == "degF"
    assert preference.for_metric("v")[0] == "m/s"
    assert preference.for_metric("rpm") == ("rpm", SAME)
    assert preference.for_metric("unknown") == (None, SAME)
    assert preference.convert("t", None) is None


def test_the_offset_of_a_unit_does_not_apply_to_a_standard_deviation():
    conversion = units.conversion("degC", "degF")
    assert conversion is not None
    found = Window(2, 10.0, 10.0, None, 20.0, "from", "to")
    assert conversion.apply(found) == Window(2, 50.0, 18.0, None, 68.0, "from", "to")
