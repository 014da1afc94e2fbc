"""A whole data set of a car, and rows that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.datasets import column, planned, read, readings

DATA = Path(__file__).parents[1] / "data"
REAL = Path(__file__).parents[2].parent / "shared" / "data" / "obd_4drivers.csv"
FILES = [
    DATA / "ugly.csv",
    pytest.param(REAL, marks=pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is not there")),
]


class TestTheUglyFile:
    @pytest.mark.parametrize("path", FILES)
    def test_device_time_and_the_main_metrics_are_found(self, path: Path):
        plan = planned(path.read_bytes())
        assert plan.form.delimiter == ";"
        assert plan.device.column == "VEHICLE_ID"
        assert plan.time is not None
        assert plan.time.columns == ("TIME",)
        metrics = {column.name: column.metric for column in plan.metrics}
        assert metrics["ENGINE_COOLANT_TEMP"] == "engine_temperature"
        assert metrics["ENGINE_RPM"] == "engine_rpm"
        assert metrics["SPEED"] == "speed"

    @pytest.mark.parametrize("path", FILES)
    def test_every_row_is_read_without_a_warning(self, path: Path):
        rows = read(path.read_bytes())
        assert rows
        assert [row for row in rows if row.reading is None or row.warnings] == []
        assert {row.reading["recorded_at"] for row in rows} == {1_510_000_000_000}

    @pytest.mark.parametrize("path", FILES)
    def test_columns_without_measurements_are_left_out(self, path: Path):
        plan = planned(path.read_bytes())
        assert column(plan, "ord").left_out == "numbers the rows"
        assert "decimal marks are missing" in column(plan, "LATITUDE").left_out
        assert "codes" in column(plan, "DTC_NUMBER").left_out
        assert "codes" in column(plan, "TROUBLE_CODES").left_out
        assert column(plan, "MAF").mark == ","

    def test_a_row_has_the_values_of_the_file(self):
        row = read((DATA / "ugly.csv").read_bytes())[0]
        assert row.line == 2
        assert row.reading == {
            "device": "van1",
            "recorded_at": 1_510_000_000_000,
            "altitude": 41.0,
            "engine_temperature": 71.0,
            "engine_rpm": 837.0,
            "maf": 1.1,
            "speed": 1.0,
            "engine_runtime": 91.0,
        }

    def test_units_in_cells_are_parsed_and_cells_in_another_unit_are_converted(self):
        rows = read((DATA / "units.csv").read_bytes())
        assert rows[0].reading == {
            "device": "units1",
            "recorded_at": 1_502_902_504_267,
            "engine_temperature": 80.0,
            "engine_rpm": 2124.0,
            "intake_manifold_pressure": 100.0,
            "throttle_pos": 74.5,
            "maf": 4.73,
        }
        assert "engine_rpm" not in rows[1].reading
        assert rows[2].reading["engine_temperature"] == 80.0
        assert rows[2].reading["throttle_pos"] == 1000.5


HEAD = b"device,time,speed,temp\n"
GOOD = b"a,2025-11-25T15:22:01Z,1,2\n"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"a,2025-11-25T15:22:01Z,1,2,3\n", "5 cells in a row of 4 columns"),
        (b",2025-11-25T15:22:01Z,1,2\n", "device '' is not a valid name"),
        (b"a,,1,2\n", "time is empty"),
        (b"a,soon,1,2\n", "time: 'soon' is not a time"),
        (b"a,2025-11-25T15:22:01Z,x,y\n", "speed: 'x' is not a number; temp: 'y' is not a number"),
        (b"a,2025-11-25T15:22:01Z,1m,2,\n", ""),
        (b"a,2025-11-25T15:22:01Z," + b"9" * 200_000 + b",1\n", "not CSV"),
    ],
)
def test_an_invalid_row_has_a_line_and_a_reason_and_the_others_are_read(row: bytes, reason: str):
    rows = read(HEAD + GOOD * 9 + row + GOOD * 9)
    assert [bool(each.reading) for each in rows if each.line != 11] == [True] * 18
    assert reason in next(each.reason for each in rows if each.line == 11)


def test_an_invalid_cell_does_not_affect_others():
    rows = read(HEAD + GOOD * 3 + b"a,2025-11-25T15:22:01Z,x,4\n")
    assert rows[3].reading == {"device": "a", "recorded_at": 1_764_084_121_000, "temp": 4.0}
    assert rows[3].warnings == ("speed: 'x' is not a number",)


def test_rows_without_values_have_no_reason_and_empty_ones_are_skipped():
    rows = read(HEAD + GOOD + b"a,2025-11-25T15:22:01Z,,-\n,,,\n\n")
    assert [(row.reading is None, row.reason) for row in rows] == [(False, ""), (True, "")]


def test_a_quoted_cell_may_contain_delimiter_and_line_end():
    rows = read(
        b'device,time,note,speed\na,2025-11-25T15:22:01Z,"x,\ny",1\na,2025-11-25T15:22:01Z,z,2\n'
    )
    assert [(row.line, row.reading["speed"]) for row in rows] == [(2, 1.0), (4, 2.0)]


def test_ndjson_keeps_names_and_flattens_objects_with_dots():
    data = (
        b'{"device":"a","recorded_at":"2026-11-22T10:00:00Z","Gyro":{"X":1}}\n\n'
        b'{"device":"a","recorded_at":"2026-11-22T10:00:01Z","later":2,"w":"text"}\n'
    )
    assert readings(data) == [
        {"device": "a", "recorded_at": 1_795_341_600_000, "Gyro.X": 1.0},
        {"device": "a", "recorded_at": 1_795_341_601_000, "later": 2.0},
    ]


def test_columns_beyond_the_metrics_limit_are_left_out():
    names = ",".join(f"m{n}" for n in range(70))
    plan = planned(f"device,time,{names}\na,2025-11-25T15:22:01Z{',1.5' * 70}\n".encode())
    assert len(plan.metrics) == 64
    assert column(plan, "m69").left_out == "beyond 64 metrics"


def test_rows_whose_time_cannot_be_read_are_listed_and_left_out():
    found = read((DATA / "files" / "19-crash-first-time-cell-unreadable.csv").read_bytes())
    assert [row.reason[:24] for row in found if row.reading is None] == ["time: 'no fix' is not a "]
    found = read((DATA / "files" / "43-zero-before-the-clock-is-set.csv").read_bytes())
    assert [row.line for row in found if "is before 2000-01-01" in row.reason] == [2]
