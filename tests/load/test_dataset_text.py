"""Numbers and times as files write them."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tributary.load import text
from tributary.load.text import FORMATS, Number


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
        ("100kPa", ".", 100.0, "kPa"),
        ("74,50%", ".", 74.5, "%"),
        ("95 °C", ".", 95.0, "°C"),
        ("4,73g/s", ".", 4.73, "g/s"),
        ("00:45:33", ".", 2733.0, text.CLOCK),
        ("100:00:00,5", ".", 360000.5, text.CLOCK),
    ],
)
def test_numbers_in_every_notation_are_parsed(written: str, mark: str, value: float, unit: str):
    assert text.number(written, mark) == Number(value, unit)


@pytest.mark.parametrize(
    "written",
    [
        "", "x", "MIL is OFF0 codes", "1.2.3.4", "12..3", "1,2,3", "1.234.56", "nan", "inf", "1_0",
        "0x1F", "1e999", "P0133", "1A2B", "1 2", "12:5", "10.00.2020", "--1", "1" * 100,
    ],
)  # fmt: skip
def test_text_that_is_not_a_number_is_rejected(written: str):
    with pytest.raises(ValueError, match="number"):
        text.number(written)


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(".,"))
def test_a_formatted_number_is_parsed_to_the_same_value(value: float, mark: str):
    written = repr(value).replace(".", mark)
    assert text.number(written, mark).value == value


@given(st.text(max_size=80), st.sampled_from(".,"))
def test_any_text_is_a_finite_number_or_a_value_error(written: str, mark: str):
    with contextlib.suppress(ValueError):
        assert math.isfinite(text.number(written, mark).value)


@pytest.mark.parametrize(
    ("written", "form", "time_ms"),
    [
        ("1,51E+12", 0, 1_510_000_000_000),
        ("1510000000", 0, 1_510_000_000_000),
        ("1510000000.25", 0, 1_510_000_000_250),
        ("1510000000123456789", 0, 1_510_000_000_123),
        ("2017-11-06T20:26:40Z", 1, 1_510_000_000_000),
        ("2017-11-06 20:26:40", 1, 1_510_000_000_000),
        ("2017-11-06T22:26:40.5+02:00", 1, 1_510_000_000_500),
        ("2017/11/06 20:26:40", 2, 1_510_000_000_000),
        ("6.11.2017 20:26", 3, 1_509_999_960_000),
        ("06/11/2017 20:26:40.25", 4, 1_510_000_000_250),
        ("11/06/2017", 5, 1_509_926_400_000),
    ],
)
def test_times_in_every_notation_are_parsed(written: str, form: int, time_ms: int):
    assert text.time_ms(written, FORMATS[form]) == time_ms


@pytest.mark.parametrize("written", ["", "soon", "1969-12-31", "-5", "1e300", "31.02.2017"])
@pytest.mark.parametrize("form", FORMATS)
def test_text_that_is_not_a_time_is_rejected(written: str, form: text.Format):
    with pytest.raises(ValueError, match=r"."):
        text.time_ms(written, form)


@given(st.text(max_size=40), st.sampled_from(FORMATS))
def test_any_text_is_a_time_or_a_value_error(written: str, form: text.Format):
    with contextlib.suppress(ValueError):
        assert text.time_ms(written, form) >= 0
