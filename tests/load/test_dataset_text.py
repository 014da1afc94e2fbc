"""Numbers and times as files write them, and what is guessed of each column."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.datasets import column, planned, readings

from tributary.errors import Misconfigured
from tributary.load import file_records, name, text
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


class TestNames:
    @pytest.mark.parametrize(
        ("column", "metric"),
        [
            ("ENGINE_COOLANT_TEMP", "engine_temperature"),
            ("ENGINE_COOLANT_TEMP ()", "engine_temperature"),
            ("Coolant Temp (°C)", "engine_temperature"),
            ("EngineRPM", "engine_rpm"),
            ("rpm", "engine_rpm"),
            ("Vehicle Speed [km/h]", "speed"),
            ("TERM FUEL TRIM BANK 1", "term_fuel_trim_bank_1"),
            ("0-60 time", "_0_60_time"),
            ("Höhe", "hohe"),
            ("温度", ""),
            ("x" * 100, "x" * 64),
        ],
    )
    def test_a_column_gets_a_valid_metric_name(self, column: str, metric: str):
        assert name.metric(column) == metric

    def test_of_two_columns_for_one_metric_the_one_with_its_name_gets_it(self):
        plan = planned(b"device,rpm,engine_rpm\na,1,2\n")
        assert {c.name: c.metric for c in plan.columns} == {"rpm": "", "engine_rpm": "engine_rpm"}
        assert "use --map" in column(plan, "rpm").left_out

    def test_columns_with_the_same_name_or_none_get_distinct_names(self):
        form = file_records.form_of([b"device,temp,temp,,temp\n", b"a,1,2,3,4\n"])
        assert form.columns == ("device", "temp", "temp_3", "column_4", "temp_5")

    def test_columns_beyond_the_metrics_limit_are_left_out(self):
        names = ",".join(f"m{n}" for n in range(70))
        plan = planned(f"device,{names}\na{',1.5' * 70}\n".encode())
        assert len(plan.metrics) == 64
        assert column(plan, "m69").left_out == "beyond 64 metrics"


class TestOverrides:
    CSV = b"who,when,speed,temp\nx1,1700000000,1,2\n"

    def test_columns_can_be_overridden(self):
        overrides = {
            "device_column": "who",
            "time_column": "when",
            "names": {"temp": "t", "speed": ""},
        }
        assert readings(self.CSV, **overrides) == [
            {"device": "x1", "recorded_at": 1_700_000_000_000, "t": 2.0}
        ]

    @pytest.mark.parametrize(
        "overrides",
        [{"device_column": "whom"}, {"time_column": "wen"}, {"names": {"tmp": "x"}}],
    )
    def test_an_unknown_column_is_reported_with_the_nearest_name(self, overrides: dict):
        with pytest.raises(Misconfigured, match=r"did you mean (who|when|temp)\?"):
            planned(self.CSV, **overrides)

    def test_an_invalid_metric_name_is_refused(self):
        with pytest.raises(Misconfigured, match="not a valid metric name"):
            planned(self.CSV, names={"temp": "9"})

    def test_a_column_without_times_cannot_be_the_time(self):
        with pytest.raises(Misconfigured, match="'x1' is not a valid time"):
            planned(self.CSV, time_column="who")

    def test_the_decimal_option_applies_only_to_ambiguous_numbers(self):
        content = b"device;speed;temp\na;1.234;5,5\n"
        assert readings(content, decimal=",")[0]["speed"] == 1234.0
        assert readings(content, decimal=".")[0] == {"device": "a", "speed": 1.234, "temp": 5.5}
