"""Reads the time of rows as a plan says. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from tributary.load import numbers, time_cells, times, zones
from tributary.load.plan import Time

_FIRST_MS = -62_135_596_800_000  # the beginning of the year 1
_LAST_MS = 253_402_300_799_999  # the end of the year 9999
_EXCEL_DAY_0_MS = -25_569 * times.DAY_MS  # 1899-12-30
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (times of a clock have no zone)
_YEAR_0 = datetime(1900, 1, 1)  # noqa: DTZ001 (what strptime takes for the date of a clock)
_MS = timedelta(milliseconds=1)

_PARTS = re.compile(r"\d{1,2}(?:\.0+)?(?: \d{1,2}(?:\.\d+)?)*")

Row = Sequence[str]


class EmptyTime(ValueError):
    """A row has no time."""


def compiled(time: Time, columns: Sequence[str]) -> Callable[[Row], int]:
    """A function from the cells of a row to UTC epoch milliseconds.

    It raises ValueError if the cells are not a time of this kind.
    """
    read = _of_text(time)
    at = [columns.index(name) for name in time.columns]
    name = " and ".join(time.columns)
    if len(at) == 1:
        index = at[0]

        def of_row(row: Row) -> int:
            return read(row[index])
    elif time.kind == "parts":

        def of_row(row: Row) -> int:
            return read(_joined([row[index] for index in at]))
    else:

        def of_row(row: Row) -> int:
            return read(" ".join(row[index] for index in at))

    def checked(row: Row) -> int:
        try:
            found = of_row(row)
        except (ValueError, OverflowError) as error:
            if all(numbers.is_missing(row[index]) for index in at):
                raise EmptyTime(f"{name} is empty") from None
            raise ValueError(f"{name}: {error}") from None
        if not _FIRST_MS <= found <= _LAST_MS:
            raise ValueError(f"{name}: {row[at[0]]!r:.60} is not between the years 1 and 9999")
        return found

    return checked


def of_example(time: Time) -> int:
    """The time of the example of a plan.

    Raises:
        ValueError: it cannot be read.
    """
    if time.kind == "parts":
        return _of_text(time)(_joined(time.example.split()))
    return _of_text(time)(time.example)


def _of_text(time: Time) -> Callable[[str], int]:
    if time.kind == "epoch":
        return _epoch_ms
    if time.kind in ("elapsed", "clock"):
        return lambda text: time.start_ms + _elapsed_ms(text, time)
    to_utc = zones.to_utc(time.zone)
    order = time.order
    if time.kind == "excel":
        return lambda text: to_utc(
            _EXCEL_DAY_0_MS + round(numbers.parse(text, time.mark).value * times.DAY_MS)
        )
    if time.kind == "pattern":
        return lambda text: _by_patterns(text.strip(), time, to_utc)
    parse = times.parse
    if len(time.columns) > 1 and time.kind == "text":
        parse = partial(_date_and_clock, count=len(time.columns))

    def read(text: str) -> int:
        local_ms, offset_min, _ = parse(text, order)
        return to_utc(local_ms) if offset_min is None else local_ms - offset_min * 60_000

    return read


def _date_and_clock(text: str, order: str, count: int) -> times.Clock:
    """A date and a clock in `count` cells; a clock may be an hour, or an hour, minute and second."""
    date, *clock = text.strip().rsplit(" ", count - 1)
    if _PARTS.fullmatch(" ".join(clock)):
        return times.parse(f"{date} {_clock(clock)}", order)
    if numbers.is_missing(text.strip().rpartition(" ")[2]):
        raise ValueError(f"{text!r:.60} has no time of day")
    return times.parse(text, order)


def _joined(parts: Sequence[str]) -> str:
    """Year, month, day, hour, minute and second as one text."""
    year, month, day = (_whole(part) for part in parts[:3])
    if not 0 <= year < 10_000:
        raise ValueError(f"{'-'.join(parts)!r:.60} is not a date")
    whole = f"{year + 2000 if year < 100 else year:04d}-{month:02d}-{day:02d}"
    return f"{whole} {_clock(parts[3:])}"


def _clock(parts: Sequence[str]) -> str:
    """Hour, minute and second, or the first of them, as one text."""
    hour, minute, second = [*parts, "0", "0", "0"][:3]
    seconds = float(second)
    if not 0 <= seconds < 61:
        raise ValueError(f"{second!r:.40} is not a second")
    return f"{_whole(hour):02d}:{_whole(minute):02d}:{seconds:06.3f}"


def _whole(part: str) -> int:
    """A part of a date as an integer."""
    value = float(part)
    if not value.is_integer() or value < 0:
        raise ValueError(f"{part!r:.40} is not a whole number")
    return int(value)


def _epoch_ms(text: str) -> int:
    found = time_cells.epoch_ms(text.strip())
    if found is None:
        raise ValueError(f"{text!r:.60} is not a number since 1970")
    return found


def _elapsed_ms(text: str, time: Time) -> int:
    if time.kind == "clock":
        clock = times.parse_clock(text)
        return clock.local_ms
    return int(numbers.parse(text, time.mark).value * time.unit_ms + 1e-6)


def _by_patterns(text: str, time: Time, to_utc: Callable[[int], int]) -> int:
    for pattern in time.patterns:
        try:
            moment = datetime.strptime(text, pattern)  # noqa: DTZ007 (the zone is of the plan)
        except ValueError:
            continue
        offset = moment.utcoffset()
        bare = moment.replace(tzinfo=None)
        if time.start_ms:
            return time.start_ms + (bare - _YEAR_0) // _MS
        if offset is not None:
            return (bare - offset - _EPOCH) // _MS
        return to_utc((bare - _EPOCH) // _MS)
    raise ValueError(f"{text!r:.60} does not have the format {' or '.join(time.patterns)}")
