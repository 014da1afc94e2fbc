"""The zone of times that state none. Pure.

In the hour that occurs twice when summer time ends, a time is the first of the two; in the hour
that does not exist when it begins, the clock is taken as not yet set forward.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from tributary.errors import Misconfigured
from tributary.load import names, time_cells, times, vocabulary
from tributary.load.evidence import Column, Evidence
from tributary.load.plan import Options, Time, Zone

_QUARTER_MS = 900_000  # zones change on quarters of an hour
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOLERANCE_MS = 120_000  # between the clocks of two columns
_ROWS_COMPARED = 500
_SHARED = "{}: {} is not the same offset in all places and seasons; give the zone with --timezone"


def named(name: str | None) -> Zone:
    """A zone by its IANA name or offset; UTC without a name.

    Raises:
        Misconfigured: the name is not an IANA time zone.
    """
    if name is None:
        return Zone()
    try:
        offset = times.offset_min(name)
    except ValueError:
        offset = None
    if offset is not None:
        return Zone(name, None, offset)
    try:
        return Zone(name, ZoneInfo(name))
    except (OSError, ValueError, KeyError):
        raise Misconfigured(
            f"--timezone {name!r} is not a zone; use an IANA name such as Europe/Berlin, or +02:00"
        ) from None


def to_utc(zone: Zone) -> Callable[[int], int]:
    """A function from milliseconds of a clock in this zone to UTC milliseconds."""
    rules = zone.rules
    if rules is None:
        offset_ms = zone.offset_min * 60_000
        return lambda local_ms: local_ms - offset_ms

    @lru_cache(1 << 12)
    def offset_in(quarter: int) -> int:
        moment = (_EPOCH + timedelta(milliseconds=quarter * _QUARTER_MS)).replace(tzinfo=rules)
        return (moment.utcoffset() or timedelta(0)) // timedelta(milliseconds=1)

    return lambda local_ms: local_ms - offset_in(local_ms // _QUARTER_MS)


def choose(time: Time, evidence: Evidence, options: Options) -> Zone:
    """The zone of the times of a file that state none.

    It is the one of `--timezone`, of the name of the column (`Time (GMT+02:00)`), of a column of
    zones, of a column with zoned times beside it, or else UTC.

    Raises:
        Misconfigured: the columns beside it do not agree on one.
    """
    if options.timezone is not None:
        return named(options.timezone)._replace(note="--timezone")
    if time.patterns and all("%z" in pattern for pattern in time.patterns):
        return Zone(note="stated by each time")
    columns = [evidence.columns[name] for name in time.columns]
    last = max(columns, key=lambda column: column.share(time_cells.is_zoned))
    zoned = last.share(time_cells.is_zoned)
    if time.kind == "text" and zoned == 1.0:
        return Zone(note="stated by each time")
    if time.kind == "text" and zoned > 0 and last.share(time_cells.is_naive) > 0:
        raise Misconfigured(
            f"{last.name}: some times state a zone and others do not; give theirs with --timezone"
        )
    _refuse_abbreviations(columns)
    for column in columns:
        if (text := names.offset_text(column.name)) is not None:
            zone = Zone(f"UTC{text if text != '+0' else ''}", None, times.offset_min(text) or 0)
            return zone._replace(note=f"in the name of {column.name}")
        if (text := names.zone_text(column.name)) is not None:
            with contextlib.suppress(Misconfigured):  # `Date/Time`
                return named(text)._replace(note=f"in the name of {column.name}")
    return _beside(time, evidence) or Zone(
        note="the times state no zone (--timezone)", is_default=True
    )


def _refuse_abbreviations(columns: list[Column]) -> None:
    """Refuse zones in cells or names of columns whose offset depends on the place."""
    for column in columns:
        found = {clock.zone for clock in map(_clock, column.cells()) if clock} - {""}
        text = names.zone_text(column.name) or next(iter(found), "")
        if text and "/" not in text and text.upper() not in ("UTC", "GMT", "Z"):
            raise Misconfigured(_SHARED.format(column.name, text))


def _clock(cell: str) -> times.Clock | None:
    for order in times.ORDERS:
        try:
            return times.parse(cell, order)
        except ValueError:
            continue
    return None


def _beside(time: Time, evidence: Evidence) -> Zone | None:
    """The zone that another column of the file states."""
    for column in evidence.columns.values():
        if column.name in time.columns or not column.filled:
            continue
        if names.rank(column.name, vocabulary.ZONES) is not None:
            return _constant(column)
    for column in evidence.columns.values():
        if column.name in time.columns or not _states_moments(column):
            continue
        offsets = _offsets(time, column, evidence)
        if len(offsets) > 1:
            raise Misconfigured(
                f"{time.columns[0]} states no zone, and {column.name} beside it differs by "
                f"{_hours(min(offsets))} to {_hours(max(offsets))}; give the zone with --timezone"
            )
        if offsets:
            offset = offsets.pop()
            return Zone(f"UTC{_hours(offset)}", None, offset, f"as {column.name} shows")
    return None


def _constant(column: Column) -> Zone:
    if column.distinct is None or len(column.distinct) != 1:
        raise Misconfigured(f"{column.name} has several zones; load with one --timezone at a time")
    text = next(iter(column.distinct))
    if text.lower() in vocabulary.SHARED_ZONES | vocabulary.WINTER_ZONES:
        raise Misconfigured(_SHARED.format(column.name, text))
    return named(text)._replace(note=f"in the column {column.name}")


def _offsets(time: Time, column: Column, evidence: Evidence) -> set[int]:
    """The offsets in minutes of the clock of `time` from that of a zoned column."""
    own = [evidence.position(name) for name in time.columns]
    other = evidence.position(column.name)
    named_min = named_offset(column.name)
    found = set()
    step = max(1, len(evidence.sample) // _ROWS_COMPARED)
    for row in evidence.sample[::step]:
        try:
            local = times.parse(" ".join(row[n] for n in own), time.order)
            moment_ms = _moment_ms(row[other], time.order, named_min)
        except ValueError:
            continue
        difference_ms = local.local_ms - moment_ms
        quarters = round(difference_ms / _QUARTER_MS)
        if abs(difference_ms - quarters * _QUARTER_MS) <= _TOLERANCE_MS:
            found.add(quarters * 15)
        else:
            found |= {quarters * 15, quarters * 15 + 1}  # the columns are of different moments
    return found


def _states_moments(column: Column) -> bool:
    """Whether the times of a column have a zone: in the cells, in the name, or as an epoch."""
    if column.share(time_cells.is_zoned) >= 0.5:
        return True
    if names.offset_text(column.name) is not None and column.share(time_cells.has_date) >= 0.5:
        return True
    return names.time_rank(column.name) is not None and column.low >= 1e9 and column.high < 2e18


def _moment_ms(cell: str, order: str, offset_min: int | None) -> int:
    if cell.strip().isdecimal() and (since_ms := time_cells.epoch_ms(cell.strip())) is not None:
        return since_ms
    clock = times.parse(cell, order)
    offset = offset_min if clock.offset_min is None else clock.offset_min
    if offset is None:
        raise ValueError(f"{cell!r} states no zone")
    return clock.local_ms - offset * 60_000


def named_offset(column: str) -> int | None:
    """The offset in minutes that a column name states, or None."""
    text = names.offset_text(column)
    return None if text is None else times.offset_min(text)


def _hours(minutes: int) -> str:
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
