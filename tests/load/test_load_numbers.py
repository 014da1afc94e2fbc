"""Numbers as files write them."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tributary.load import numbers
from tributary.load.numbers import Number


@pytest.mark.parametrize(
    ("written", "mark", "value", "unit"),
    [
        ("816", ".", 816.0, ""),
        ("-7,5", ".", -7.5, ""),
        ("56,10", ".", 56.1, ""),
        ("42.0", ",", 42.0, ""),
        ("1.234", ".", 1.234, ""),
        ("1.234", ",", 1234.0, ""),
        ("0.123", ",", 0.123, ""),
        ("1.234,5", ".", 1234.5, ""),
        ("1,234.5", ",", 1234.5, ""),
        ("-583.206.639", ".", -583206639.0, ""),
        ("1,51E+12", ".", 1.51e12, ""),
        ("1.510E+12", ",", 1.51e12, ""),
        ("1 234,5", ".", 1234.5, ""),
        ("1\u202f234", ".", 1234.0, ""),
        ("1'234'567", ".", 1234567.0, ""),
        ("\u22123,5", ".", -3.5, ""),
        (" .5 ", ".", 0.5, ""),
        ("5.", ".", 5.0, ""),
        ("82C", ".", 82.0, "C"),
        ("2124RPM", ".", 2124.0, "RPM"),
        ("74,50%", ".", 74.5, "%"),
        ("95 °C", ".", 95.0, "°C"),
        ("4,73g/s", ".", 4.73, "g/s"),
        ("00:45:33", ".", 2733.0, numbers.CLOCK),
        ("100:00:00,5", ".", 360000.5, numbers.CLOCK),
    ],
)
def test_numbers_in_every_notation_are_parsed(written: str, mark: str, value: float, unit: str):
    assert numbers.parse(written, mark) == Number(value, unit)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "MIL is OFF",
        "1e400",
        "1.2.3",
        "1,2,3",
        "12,34,567",
        "7 8",
        "--5",
        "nan",
        "1_000",
        "12:5",
        "10.00.2020",
    ],
)
def test_what_is_not_a_number_is_an_error(text: str):
    with pytest.raises(ValueError):
        numbers.parse(text)


@pytest.mark.parametrize(
    ("text", "mark"), [("1,5", ","), ("1.5", "."), ("0,123", ","), ("1,234", None), ("1234", None)]
)
def test_a_cell_proves_its_decimal_mark_or_not(text: str, mark: str | None):
    assert numbers.proved_mark(text) == mark
    assert numbers.is_ambiguous(text) is (text == "1,234")


@pytest.mark.parametrize(
    ("text", "value"),
    [("TRUE", 1.0), ("aus", 0.0), ("offen", 1.0), ("closed", 0.0), ("auto", None)],
)
def test_words_for_true_and_false_are_numbers(text: str, value: float | None):
    assert numbers.boolean(text) == value


@given(st.text(max_size=40), st.sampled_from([".", ","]))
def test_any_text_is_a_finite_number_or_an_error(text: str, mark: str):
    with contextlib.suppress(ValueError):
        assert math.isfinite(numbers.parse(text, mark).value)
