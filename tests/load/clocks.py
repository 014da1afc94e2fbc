"""Times of rows in the notations of random loggers, for `variants`."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Sydney", "UTC")
MONTHS = {
    "en": ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
    "de": ["Jan", "Feb", "Mär", "Apr", "Mai", "Jun", "Jul", "Aug", "Sep", "Okt", "Nov", "Dez"],
    "fr": [
        "janvier",
        "février",
        "mars",
        "avril",
        "mai",
        "juin",
        "juillet",
        "août",
        "septembre",
        "octobre",
        "novembre",
        "décembre",
    ],
}
TIME_NAMES = ("time", "Timestamp", "recorded_at", "Datum", "Zeitstempel", "noted_at", "Date Time")


class Clock(NamedTuple):
    columns: list[str]
    cells: list[list[str]]
    times_ms: list[int]
    options: dict[str, Any]
    dialect: str


def clock(chance: random.Random, count: int) -> Clock:
    """The times of `count` rows."""
    kind = chance.choice(
        ("iso", "short", "names", "epoch", "compact", "two", "parts", "elapsed", "excel")
    )
    step = chance.choice((1, 7, 60, 977, 3600, 86_400 * 3 + 61))
    start = datetime(2019, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(180_000_000))
    start = start.replace(minute=0, second=0) if kind == "parts" else start
    step = 3600 * max(1, step // 3600) if kind == "parts" else step
    moments = [start + timedelta(seconds=step * n) for n in range(count)]
    zone = chance.choice(ZONES)
    local = [m.astimezone(ZoneInfo(zone)) for m in moments]
    offsets = {m.utcoffset() for m in local}
    if len(offsets) > 1:  # the hour that occurs twice has no single meaning
        zone, local = "UTC", [m.astimezone(ZoneInfo("UTC")) for m in moments]
    times_ms = [int(m.timestamp() * 1000) for m in moments]
    options = {} if zone == "UTC" else {"timezone": zone}
    name = chance.choice(TIME_NAMES)
    make = globals()[f"_clock_{kind}"]
    columns, cells, options, kind = make(chance, name, local, options)
    return Clock(columns, cells, times_ms, options, kind)


def _clock_iso(chance: random.Random, name: str, local: list[datetime], options: dict) -> tuple:
    form = chance.choice(
        (
            "%Y-%m-%dT%H:%M:%S",
            "%Y-%m-%d %H:%M:%S",
            "%Y/%m/%d %H:%M:%S",
            "%G-W%V-%uT%H:%M:%S",
            "%Y-%jT%H:%M:%S",
        )
    )
    suffix = chance.choice(("", "Z", "%z", " UTC"))
    if suffix and suffix != "%z":
        local = [m.astimezone(UTC) for m in local]
    cells = [[m.strftime(form + suffix)] for m in local]
    return [name], cells, {} if suffix else options, f"iso {form}{suffix}"


def _clock_short(chance: random.Random, name: str, local: list[datetime], options: dict) -> tuple:
    sep = chance.choice(".-/")
    order = chance.choice(("%d{0}%m{0}{1}", "%m{0}%d{0}{1}")) if sep != "." else "%d{0}%m{0}{1}"
    form = order.format(sep, chance.choice(("%Y", "%Y", "%y")))
    form += chance.choice((" %H:%M:%S", ", %H:%M:%S", " %I:%M:%S %p"))
    header = name
    if options and chance.random() < 0.4:
        offset = local[0].strftime("%z")
        header, options = f"{name} (GMT{offset[:3]}:{offset[3:]})", {}
    return [header], [[m.strftime(form)] for m in local], options, f"short {form}"


def _clock_names(chance: random.Random, name: str, local: list[datetime], options: dict) -> tuple:
    language = chance.choice(list(MONTHS))
    form = chance.choice(
        ("{d}-{m}-{y} {c}", "{d} {m} {y} {c}", "{d}. {m} {y} {c}", "{m} {d}, {y} {c}")
    )
    cells = [
        [form.format(d=m.day, m=MONTHS[language][m.month - 1], y=m.year, c=m.strftime("%H:%M:%S"))]
        for m in local
    ]
    return [name], cells, options, f"names {language} {form}"


def _clock_epoch(chance: random.Random, name: str, local: list[datetime], options: dict) -> tuple:
    factor = chance.choice((1, 1000, 10**6, 10**9))
    return [name], [[str(int(m.timestamp()) * factor)] for m in local], {}, f"epoch {factor}"


def _clock_compact(chance: random.Random, name: str, local: list[datetime], options: dict) -> tuple:
    form = chance.choice(("%Y%m%d%H%M%S", "%Y%m%dT%H%M%S"))
    return [name], [[m.strftime(form)] for m in local], options, f"compact {form}"


def _clock_two(chance: random.Random, name: str, local: list[datetime], options: dict) -> tuple:
    date = chance.choice(("%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y"))
    clock = chance.choice(("%H:%M:%S", "%I:%M:%S %p"))
    columns = list(chance.choice((("Date", "Time"), ("Datum", "Uhrzeit"), ("date", "clock"))))
    cells = [[m.strftime(date), m.strftime(clock)] for m in local]
    return columns, cells, options, f"two {date} {clock}"


def _clock_parts(chance: random.Random, name: str, local: list[datetime], options: dict) -> tuple:
    if local[0].minute:  # hours of a zone with half an hour are not whole
        local, options = [m.astimezone(UTC) for m in local], {}
    columns = list(
        chance.choice((("year", "month", "day", "hour"), ("Jahr", "Monat", "Tag", "Stunde")))
    )
    cells = [[str(m.year), str(m.month), str(m.day), str(m.hour)] for m in local]
    return columns, cells, options, "parts"


def _clock_elapsed(chance: random.Random, name: str, local: list[datetime], options: dict) -> tuple:
    unit, factor = chance.choice((("Time (s)", 1), ("Time (ms)", 1000), ("seconds_elapsed", 1)))
    cells = [[str(round((m - local[0]).total_seconds()) * factor)] for m in local]
    given = {"start": local[0].isoformat()} if chance.random() < 0.8 else {}
    return [unit], cells, given, "elapsed"


def _clock_excel(chance: random.Random, name: str, local: list[datetime], options: dict) -> tuple:
    epoch = datetime(1899, 12, 30)  # noqa: DTZ001
    days = [(m.replace(tzinfo=None) - epoch) / timedelta(days=1) for m in local]
    if chance.random() < 0.7:
        options = options | {"time_columns": (name,), "time_formats": ("excel",)}
    return [name], [[f"{day:.9f}"] for day in days], options, "excel"
