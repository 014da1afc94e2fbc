"""Which column becomes which metric, by guess and by wish."""

from __future__ import annotations

import pytest
from support.datasets import column, planned, readings

from tributary.errors import Misconfigured
from tributary.load import file_records, name


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
