"""Times as files write them, and their zones."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.datasets import planned, readings

from tributary.errors import Misconfigured
from tributary.load import times, zones
from tributary.model.reading import rfc3339

MOMENT = "2025-11-25T15:22:01.000Z"


@pytest.mark.parametrize(
    ("written", "order", "offset_min"),
    [
        ("2025-11-25T15:22:01Z", "dmy", 0),
        ("2025-11-25 15:22:01 UTC", "dmy", 0),
        ("2025-11-25 15:22:01 +0200", "dmy", 120),
        ("2025-11-25T15:22:01+01:00[Europe/Berlin]", "dmy", 60),
        ("2025-11-25 15:22:01 CET", "dmy", 60),
        ("Tue Nov 25 15:22:01 GMT+02:00 2025", "dmy", 120),
        ("Tue, 25 Nov 2025 15:22:01 -0500", "dmy", -300),
        ("25.11.2025 15:22:01", "dmy", None),
        ("25. 11. 2025 15:22:01", "dmy", None),
        ("25/11/25 15:22:01", "dmy", None),
        ("11-25-2025 15:22:01", "mdy", None),
        ("25-11-25 15:22:01", "ymd", None),
        ("11/25/2025 03:22:01 PM", "mdy", None),
        ("11/25/25, 3:22:01 p.m.", "mdy", None),
        ("25-Nov-2025 15:22:01", "dmy", None),
        ("25 novembre 2025 15:22:01", "dmy", None),
        ("Nov 25, 2025 3:22:01 PM", "dmy", None),
        ("mardi 25 novembre 2025 15:22:01", "dmy", None),
        ("2025/11/25 15.22.01", "dmy", None),
        ("20251125152201", "dmy", None),
        ("20251125T152201Z", "dmy", 0),
        ("2025-W48-2T15:22:01", "dmy", None),
        ("2025-329 15:22:01", "dmy", None),
    ],
)
def test_times_in_every_notation_are_parsed(written: str, order: str, offset_min: int | None):
    found = times.parse(written, order)
    assert (rfc3339(found.local_ms), found.offset_min) == (MOMENT, offset_min)


@pytest.mark.parametrize(
    "written",
    ["", "no fix", "1763805600", "21.5", "2025-13-01 00:00", "25/25/2025", "30.02.2025", "25 Xyz 2025",
     "2025-11-25 15:61", "2025-11-25 13:00 PM", "2025-11-25 10:00 XYZ", "2025-W60", "2025-367", "1.2.3"],
)  # fmt: skip
def test_what_is_not_a_time_is_an_error(written: str):
    with pytest.raises(ValueError):
        times.parse(written)


@pytest.mark.parametrize(
    ("dates", "orders"),
    [
        (["01/05/2025", "13/05/2025"], ["dmy"]),
        (["01/05/2025", "05/13/2025"], ["mdy"]),
        (["01/05/2025", "02/05/2025"], ["dmy", "mdy"]),
        (["05.01.2025", "06.01.2025"], ["dmy"]),
        (["13/05/2025", "05/13/2025"], []),
        (["05/05/2025", "06/06/2025"], ["dmy"]),
        (["01-02-03"], ["dmy", "mdy", "ymd"]),
        (["25-11-30"], ["ymd"]),
    ],
)
def test_the_order_of_day_and_month_follows_from_all_dates(dates: list[str], orders: list[str]):
    assert times.orders(times.triples("\n".join(dates)), 2026) == orders


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2025-07-01T12:00:00", "2025-07-01T10:00:00.000Z"),
        ("2025-01-01T12:00:00", "2025-01-01T11:00:00.000Z"),
        ("2025-10-26T02:30:00", "2025-10-26T00:30:00.000Z"),  # occurs twice: the first
        ("2025-03-30T02:30:00", "2025-03-30T01:30:00.000Z"),  # does not exist: the old clock
    ],
)
def test_summer_time_is_resolved_as_documented(local: str, utc: str):
    read = zones.to_utc(zones.named("Europe/Berlin"))
    assert rfc3339(read(times.parse(local).local_ms)) == utc


def moments(data: str, **options: object) -> list[str]:
    return [rfc3339(reading["recorded_at"]) for reading in readings(data.encode(), **options)]


@pytest.mark.parametrize(
    ("data", "options", "expected"),
    [
        ("time,v\n2025-10-05 14:22:01,1\n", {}, "2025-10-05T14:22:01.000Z"),
        ("time,v\n2025-10-05 14:22:01,1\n", {"timezone": "+02:00"}, "2025-10-05T12:22:01.000Z"),
        ("Time (UTC+2),v\n2025-10-05 14:22:01,1\n", {}, "2025-10-05T12:22:01.000Z"),
        ("time,tz,v\n2025-10-05 14:22:01,Europe/Berlin,1\n", {}, "2025-10-05T12:22:01.000Z"),
        ("time_utc,local_time,v\n2025-10-05 12:22:01,2025-10-05 14:22:01,1\n", {}, "2025-10-05T12:22:01.000Z"),
        ("time,epoch,v\n2025-10-05 14:22:01,1759666921,1\n", {}, "2025-10-05T12:22:01.000Z"),
        ("t,v\n0,1\n", {"time_columns": ("t",), "time_formats": ("s",), "start": "2025-10-05T12:22:01Z"}, "2025-10-05T12:22:01.000Z"),
        ("Time (ms),v\n500,1\n", {"start": "2025-10-05"}, "2025-10-05T00:00:00.500Z"),
        ("clock,v\n12:22:01,1\n", {"time_columns": ("clock",), "start": "2025-10-05"}, "2025-10-05T12:22:01.000Z"),
        ("time,v\n45935.5,1\n", {"time_columns": ("time",), "time_formats": ("excel",)}, "2025-10-05T12:00:00.000Z"),
        ("t,v\n5|10|2025 12h,1\n", {"time_columns": ("t",), "time_formats": ("%d|%m|%Y %Hh",)}, "2025-10-05T12:00:00.000Z"),
        ("Date;Time;v\n05/10/2025;18.00.00;1\n", {"is_day_first": True}, "2025-10-05T18:00:00.000Z"),
        ("date;clock;AM/PM;v\n10/25/2025;3:22:01;PM;1\n", {}, "2025-10-25T15:22:01.000Z"),
        ("date;heure;v\n25 octobre 2025;15h22;1\n", {}, "2025-10-25T15:22:00.000Z"),
        ("Datum;Stunde;v\n05.10.2025;7;1\n", {}, "2025-10-05T07:00:00.000Z"),
        ("v,when\n1,1763805600250000\n", {}, "2025-11-22T10:00:00.250Z"),
    ],
)  # fmt: skip
def test_the_time_of_a_row(data: str, options: dict, expected: str):
    assert moments(data, **options) == [expected]


@pytest.mark.parametrize(
    ("data", "options", "remedy"),
    [
        ("when,v\nyesterday,1\n", {}, "--time-column none"),
        ("time,v\n5th of May,1\n", {}, "--time-format"),
        ("time,v\n01/05/2025,1\n02/05/2025,1\n", {}, "--day-first or --month-first"),
        ("time,v\n0.0,1\n0.5,1\n", {}, "--start"),
        ("time,v\n45935.5,1\n45936.5,2\n", {}, "--time-format excel"),
        ("time,v\n0,1\n100,1\n200,1\n", {"start": "2025-10-05"}, "--time-format s or ms"),
        ("time,v\n14:22:01,1\n", {}, "--start"),
        ("time,v\n23:59:01,1\n00:01:00,2\n", {"start": "2025-10-05"}, "passes midnight"),
        ("time,v\n2025-10-05T00:00:00,1\n", {"timezone": "Mars"}, "--timezone 'Mars' is not a zone"),
        ("time,v\n2025-10-05T00:00:00Z,1\n2025-10-05T00:00:00,2\n", {}, "--timezone"),
        ("time,gps_time,v\n2025-10-25 14:00:00,2025-10-25T12:00:00Z,1\n2025-10-27 14:00:00,2025-10-27T13:00:00Z,1\n", {}, "--timezone"),
        ("date,v\n2025-10-05,1\n2025-10-05,2\n", {}, "--time-column A --time-column B"),
        ("date,log_time,v\n2025-10-05,noon,1\n", {}, "--time-column 'date' --time-column 'log_time'"),
        ("time,v\n2025-10-05,1\n", {"time_formats": ("%Y",)}, "add --time-column"),
        ("time,v\n1,1\n", {"time_columns": ("time",), "start": "soon"}, "--start 'soon' is not a time"),
        ("seconds,created_at,v\n0,2025-10-05T00:00:00Z,1\n1,2025-10-05T00:00:00Z,2\n", {}, "--time-column"),
        ("v,serial\n1,1763805600\n2,1763805600\n", {}, "no column contains times"),
    ],
)  # fmt: skip
def test_a_doubtful_time_is_refused_with_the_option(data: str, options: dict, remedy: str):
    with pytest.raises(Misconfigured) as error:
        planned(data.encode(), **options)
    assert remedy in str(error.value)


@given(st.text(max_size=40) | st.from_regex(r"[0-9/.:\-T APMZ+]{4,30}", fullmatch=True))
def test_any_text_is_a_time_or_an_error(text: str):
    for order in times.ORDERS:
        with contextlib.suppress(ValueError):
            times.parse(text, order)
    times.kind(text)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1)))  # noqa: DTZ001
def test_times_are_read_back(moment: datetime):
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
    expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    for form in ("%Y-%m-%dT%H:%M:%S.%fZ", "%d %b %Y %H:%M:%S.%f UTC", "%d.%m.%Y %I:%M:%S.%f %p"):
        assert times.parse(moment.strftime(form)).local_ms == expected
