"""Conversions are as exact as doubles allow, and only between units of one kind."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.read import units
from api.read.units import SAME, UNITS, Wish
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
def test_known_values(given_unit: str, wanted: str, number: float, exact: float):
    way = units.line(given_unit, wanted)
    assert way is not None
    assert math.isclose(number * way.slope + way.intercept, exact, rel_tol=1e-14)


@given(st.sampled_from(list(UNITS)), st.sampled_from(list(UNITS)), st.floats(-1e9, 1e9))
def test_a_conversion_is_exact_to_the_rounding_of_its_steps(a: str, b: str, number: float):
    way = units.line(a, b)
    if way is None:
        assert UNITS[a].kind != UNITS[b].kind
        return
    given_unit, wanted = UNITS[a], UNITS[b]
    of_first = Fraction(number) * given_unit.factor + given_unit.offset
    exact = (of_first - wanted.offset) / wanted.factor
    step = max(abs(number * way.slope), abs(way.intercept), abs(exact))
    bound = Fraction(step) * 4 / 2**52 + Fraction(5e-324)  # next to zero the steps are not finer
    assert abs(Fraction(number * way.slope + way.intercept) - exact) <= bound


def test_a_wish_leaves_alone_what_has_another_kind_of_unit_or_none():
    wish = Wish(["degF", "m/s"], CATALOGUE)
    assert wish.of("t")[0] == "degF"
    assert wish.of("v")[0] == "m/s"
    assert wish.of("rpm") == ("rpm", SAME)
    assert wish.of("unknown") == (None, SAME)
    assert wish.convert("t", None) is None


def test_a_deviation_has_no_zero():
    way = units.line("degC", "degF")
    assert way is not None
    found = {"count": 2, "mean": 10.0, "stddev": 10.0, "min": None, "max": 20.0, "from": "then"}
    assert units.applied(way, found) == {
        "count": 2,
        "mean": 50.0,
        "stddev": 18.0,
        "min": None,
        "max": 68.0,
        "from": "then",
    }
