"""Files of every kind that people have, and the readings that they mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.datasets import CATALOGUE, NOW_MS

from tributary.errors import Misconfigured
from tributary.load import Options, content, rows, survey_all
from tributary.load.table import Lines
from tributary.model.reading import rfc3339

FILES = Path(__file__).parents[1] / "data" / "files"
START = {"start": "2025-10-05T00:00:00Z"}


def loaded(*names: str, **options: Any) -> list[dict[str, Any]]:
    """The readings of files, times as text, values with six digits."""
    paths = [FILES / name for name in names]
    sources, _ = survey_all(paths, Options(now_ms=NOW_MS, **options), CATALOGUE)
    return [
        _shown(row.reading)
        for source in sources
        for row in rows(source, Lines(content.lines(source.content)))
        if row.reading is not None
    ]


def _shown(reading: dict[str, Any]) -> dict[str, Any]:
    shown = {k: round(v, 6) if isinstance(v, float) else v for k, v in reading.items()}
    return shown | {"at": rfc3339(shown.pop("recorded_at"))}


def at(time: str, device: str = "default", **metrics: float) -> dict[str, Any]:
    return {"device": device, "at": f"{time}Z" if "." in time else f"{time}.000Z", **metrics}


# fmt: off
CASES: list[tuple[str, dict[str, Any], list[dict[str, Any]]]] = [
    (
        "01-torque-times.csv",
        {},
        [
            at(
                "2025-10-05T12:22:01.123",
                longitude=9.1,
                latitude=50.1,
                gps_speed=0.5,
                g_x=0.01,
                g_y=0.02,
                g_z=0.98,
                engine_temperature=88.0,
                engine_rpm=1021.0,
                speed=12.0,
            ),
            at(
                "2025-10-05T12:22:02.130",
                g_x=0.01,
                g_y=0.03,
                g_z=0.97,
                engine_temperature=88.0,
                engine_rpm=1030.0,
                speed=13.0,
            ),
            at(
                "2025-10-05T13:00:00.500",
                longitude=9.2,
                latitude=50.2,
                gps_speed=1.5,
                g_x=0.02,
                g_y=0.01,
                g_z=0.99,
                engine_temperature=90.0,
                engine_rpm=1500.0,
            ),
        ],
    ),
    (
        "02-torque-more-than-64-columns-most-empty.csv",
        {},
        [
            at(
                f"2025-10-05T14:22:0{n}",
                engine_temperature=80.0 + n,
                engine_rpm=1020.0 + n,
                speed=10.0 + n,
            )
            for n in range(3)
        ],
    ),
    (
        "03-fahrenheit-mph-in-header.csv",
        {},
        [
            at(
                "2025-10-05T14:22:01",
                "car-f",
                engine_temperature=90.555556,
                speed=96.56064,
                oil_temperature=100.0,
                temperature=20.0,
            ),
            at(
                "2025-10-05T14:22:02",
                "car-f",
                engine_temperature=91.111111,
                speed=98.169984,
                oil_temperature=100.0,
                temperature=20.0,
            ),
        ],
    ),
    (
        "05-long-car-scanner.csv",
        START,
        [
            at("2025-10-05T08:23:09.240", speed=0.0),
            at("2025-10-05T08:23:09.500", engine_rpm=812.0),
            at("2025-10-05T08:23:09.600", engine_temperature=83.0),
        ],
    ),
    (
        "06-long-home-assistant.csv",
        {},
        [
            at("2026-01-12T18:00:00", "sensor.hall_temperature", state=21.5),
            at("2026-01-12T18:00:03", "sensor.hall_humidity", state=45.0),
            at("2026-01-12T18:00:04", "sensor.heatpump_power", state=1830.0),
            at("2026-01-12T18:00:11", "binary_sensor.hall_motion", state=1.0),
            at("2026-01-12T18:00:12", "sensor.hall_temperature", state=21.6),
        ],
    ),
    (
        "08-date-and-time-columns.csv",
        {},
        [
            at("2025-12-16T17:24:00", power=4.216, voltage=234.84),
            at("2025-12-16T17:26:00", power=5.36, voltage=233.63),
        ],
    ),
    (
        "11-year-month-day-hour-columns.csv",
        {},
        [
            at("2025-03-01T00:00:00", pm2_5=9.0, temp=-2.0),
            at("2025-03-01T01:00:00", pm2_5=11.0, temp=-3.0),
        ],
    ),
    (
        "12-day-month-with-dashes.csv",
        {},
        [
            at("2025-12-08T09:30:00", temp=29.0),
            at("2025-12-13T09:29:00", temp=41.0),
        ],
    ),
    (
        "14-am-pm.csv",
        {},
        [
            at("2025-05-25T10:52:42", temp=20.1),
            at("2025-05-25T13:08:42", temp=21.4),
        ],
    ),
    (
        "15-utc-suffix.csv",
        {},
        [
            at("2025-02-18T21:46:23", field1=6.0),
            at("2025-02-18T21:46:39", field1=7.0),
        ],
    ),
    (
        "17-compact-timestamp.csv",
        {},
        [
            at("2025-11-25T15:22:01", "ymd-1", temp=1.5),
            at("2025-11-25T15:22:02", "ymd-1", temp=1.6),
        ],
    ),
    (
        "21-decimal-comma-three-digits.csv",
        {},
        [
            at("2025-11-25T15:22:01", "meter-d", power=4.216, voltage=234.84),
            at("2025-11-25T15:22:02", "meter-d", power=5.36, voltage=233.63),
        ],
    ),
    (
        "22-excel-sep-line.csv",
        {},
        [
            at("2025-11-25T15:22:01", "x-1", temp=21.5),
            at("2025-11-25T15:22:02", "x-1", temp=21.6),
        ],
    ),
    (
        "23-comment-lines.csv",
        {"start": "2025-11-25T14:22:01.123Z"},
        [
            at("2025-11-25T14:22:01.123", engine_rpm=800.0, speed=0.0),
            at("2025-11-25T14:22:01.623", engine_rpm=812.0, speed=3.0),
        ],
    ),
    (
        "25-title-line.csv",
        {},
        [
            at("2025-05-25T17:52:42", temp=37.2),
            at("2025-05-25T18:08:42", temp=37.25),
        ],
    ),
    (
        "27-booleans.csv",
        {},
        [
            at("2026-11-25T15:37:54", "pir-1", motion=1.0, light=0.0, temp=21.5),
            at("2026-11-25T15:37:55", "pir-1", motion=0.0, light=1.0, temp=21.6),
        ],
    ),
    (
        "28-device-column-not-known.csv",
        {},
        [
            at("2025-11-25T15:22:01", "cellar", temp=5.0),
            at("2025-11-25T15:22:02", "attic", temp=30.0),
        ],
    ),
    (
        "29a-car-a.csv",
        {"device_from_filename": True},
        [at("2025-11-25T15:22:01", "29a-car-a", speed=50.0)],
    ),
    (
        "31-device-names.csv",
        {},
        [
            at("2025-11-25T15:22:01", "Living-Room", temp=20.0),
            at("2025-11-25T15:22:01", "Kuche", temp=21.0),
        ],
    ),
    ("36-recording.zip", {}, [at("2026-01-05T13:41:07.350", z=9.81, y=0.1, x=0.2)]),
    (
        "38-time-column-not-known.csv",
        {},
        [
            at("2025-11-25T15:22:01", "k-1", temp=21.5),
            at("2025-11-25T15:22:02", "k-1", temp=21.6),
        ],
    ),
    (
        "41-space-separated.txt",
        {},
        [
            at("2025-02-28T00:59:16.027", "1", temperature=19.98),
            at("2025-02-28T00:59:46.015", "2", temperature=19.3),
        ],
    ),
    (
        "44-short-rows.csv",
        {},
        [
            at("2025-11-25T15:22:01", temp=1.5),
            at("2025-11-25T15:22:02", temp=1.6, hum=40.0),
        ],
    ),
    (
        "46-tasmota.ndjson",
        {"timezone": "Europe/Berlin"},
        [
            {"device": "default", "at": "2025-04-26T08:01:34.000Z", "DS18B20.Temperature": 16.1},
        ],
    ),
]
# fmt: on


@pytest.mark.parametrize(("name", "options", "expected"), CASES, ids=[name for name, *_ in CASES])
def test_the_readings_of_a_file(name: str, options: dict, expected: list[dict]):
    assert loaded(name, **options) == expected


def test_every_file_is_tested():
    special = {"16-us", "19-cr", "29b-c", "43-ze"}  # below and in test_dataset
    assert {path.name[:5] for path in FILES.iterdir()} == {name[:5] for name, *_ in CASES} | special


def test_the_order_of_day_and_month_is_decided_by_the_whole_file():
    found = loaded("16-us-dates-first-200-rows-in-first-12-days.csv")
    assert [reading["at"][:10] for reading in found[96::24]][:2] == ["2025-01-05", "2025-01-06"]


def test_several_files_without_a_device_are_not_merged():
    with pytest.raises(Misconfigured, match="--device-from-filename, or --device NAME"):
        loaded("29a-car-a.csv", "29b-car-b.csv")
    found = loaded("29a-car-a.csv", "29b-car-b.csv", device_from_filename=True)
    assert [reading["device"] for reading in found] == ["29a-car-a", "29b-car-b"]
