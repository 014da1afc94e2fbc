"""Times that count from zero: their unit and what they count from. Pure."""

from __future__ import annotations

from itertools import pairwise

from tributary.errors import Misconfigured
from tributary.load import names, time_cells, times, zones
from tributary.load.evidence import Column, Evidence
from tributary.load.plan import Options
from tributary.model import units

UNITS_MS = {"s": 1000.0, "ms": 1.0, "us": 1e-3, "ns": 1e-6, "min": 60_000.0, "h": 3_600_000.0}
HINT = "--time-column none loads with the time of arrival"
_STEP_MAX = 60.0  # greater whole steps without a unit are not certain to be seconds


def is_duration(column: Column) -> bool:
    """Whether numbers are in a unit of time and never decrease, as those that count from a start."""
    unit = units.parse(names.read(column.name).unit)
    return unit in UNITS_MS and column.never_decreases


def unit_ms(column: Column, evidence: Evidence, kind: str, options: Options) -> float:
    """The unit of numbers that count from a start, in milliseconds."""
    if options.start is None:
        what = (
            "a time of day without a date"
            if kind == "clock"
            else "a number that counts from a start"
        )
        excel = (
            ", or --time-format excel for dates of a spreadsheet" if 2e4 < column.low < 8e4 else ""
        )
        raise Misconfigured(
            f"{column.name}: {column.example!r:.40} is {what}; give the start with --start "
            f"2025-10-05T14:22:00Z{excel}, its notation with --time-format, or {HINT}"
        )
    if kind == "clock":
        return 1.0
    words = [names.read(column.name).unit, *names.bare(column.name).split("_")]
    words += ["ms"] if {"millis", "msec", "milliseconds"} & set(words) else []
    for word in words:
        if (unit := units.parse(word)) in UNITS_MS and len(word) > 0 and word not in ("m", "time"):
            return UNITS_MS[str(unit)]
    position = evidence.position(column.name)
    values = [
        v for row in evidence.sample[:50] if (v := time_cells.value(row[position])) is not None
    ]
    steps = sorted(b - a for a, b in pairwise(values))
    if steps and steps[len(steps) // 2] > _STEP_MAX:
        raise Misconfigured(
            f"{column.name} has no unit; say whether its numbers are seconds or milliseconds with "
            f"--time-column {column.name!r} and --time-format s or ms"
        )
    return 1000.0


def start_ms(options: Options) -> int:
    """The time of `--start` in UTC milliseconds.

    Raises:
        Misconfigured: it is not a time.
    """
    text = options.start or ""
    try:
        clock = times.parse("" if times.triples(text) else text)
    except ValueError:
        number = time_cells.epoch_ms(text)
        if number is None:
            raise Misconfigured(
                f"--start {text!r} is not a time; write it like 2025-10-05T14:22:00Z"
            ) from None
        return number
    if clock.zone and options.timezone is None:
        raise Misconfigured(f"--start {text!r}: {clock.zone} is not certain; add --timezone")
    if clock.offset_min is not None:
        return clock.local_ms - clock.offset_min * 60_000
    return zones.to_utc(zones.named(options.timezone))(clock.local_ms)
