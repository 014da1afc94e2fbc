"""What single cells show about times: predicates over the text of a cell. Pure."""

from __future__ import annotations

import contextlib
from functools import lru_cache

from tributary.load import numbers, times
from tributary.load.evidence import Column
from tributary.model import reading

_COMPACT = frozenset((8, 10, 12, 14, 17))  # digits of YYYYMMDD to YYYYMMDDhhmmssfff


def epoch_ms(cell: str) -> int | None:
    """A number since 1970 in UTC milliseconds, its unit by its size; None if it is not a number."""
    try:
        if cell.isascii() and cell.isdecimal():
            return reading.time_ms(int(cell[:24]))  # nanoseconds stay exact
        return reading.time_ms(numbers.parse(cell).value)
    except ValueError:
        return None


@lru_cache(1 << 14)
def _kind_of(cell: str) -> times.Kind | None:
    if not any(c.isdigit() for c in cell):
        return None
    if cell.isdecimal() and len(cell) not in _COMPACT:
        return None
    return times.kind(cell)


def has_date(cell: str) -> bool:
    """Whether a cell states a date."""
    found = _kind_of(cell)
    return found is not None and found.has_date and not _is_near_epoch(cell)


def _is_near_epoch(cell: str) -> bool:
    return len(cell) == 10 and cell.isdecimal() and cell < "19"  # 10 digits from 1.9e9 on are dates


def has_clock(cell: str) -> bool:
    """Whether a cell states a time of day."""
    found = _kind_of(cell)
    return found is not None and found.has_clock


def is_midnight(cell: str) -> bool:
    """Whether a cell is a date without a time of day, or with that of midnight."""
    for order in times.ORDERS:
        with contextlib.suppress(ValueError):
            return times.parse(cell, order).local_ms % times.DAY_MS == 0
    return False


def is_clock(cell: str) -> bool:
    """Whether a cell is a time of day without a date."""
    found = _kind_of(cell)
    return (found is not None and not found.has_date) or is_compact_clock(cell)


def may_be_clock(cell: str) -> bool:
    """Whether a cell may be a time of day if its column is named as such: also `15.22`."""
    try:
        times.parse_clock(cell)
    except ValueError:
        return is_clock(cell) or is_hour(cell)
    return True


def is_compact_clock(cell: str) -> bool:
    """`17.24.00`, `172400` and `1724`, beside a column of dates."""
    if cell.isdecimal():
        return len(cell) in (4, 6) and cell[:2] < "25" and cell[2:4] < "60" and cell[4:] < "60"
    try:
        times.parse_clock(cell)
    except ValueError:
        return False
    return cell.count(".") == 2 or ":" in cell or "h" in cell.lower()


def is_text_time(cell: str) -> bool:
    """Whether a cell is a date or a time of day, and not only digits."""
    return not cell.isdecimal() and _kind_of(cell) is not None


def is_long_compact(cell: str) -> bool:
    """Whether a cell is a date and a clock of digits only: `20251125152201`."""
    return len(cell) >= 12 and has_date(cell)


def is_half_day(cell: str) -> bool:
    """Whether a cell is AM or PM."""
    return cell.lower().replace(".", "").replace(" ", "") in ("am", "pm")


def is_hour(cell: str) -> bool:
    """Whether a cell is an hour, 0 to 24."""
    return is_part(cell) and float(cell) <= 24 and float(cell).is_integer()


def is_part(cell: str) -> bool:
    """Whether a cell may be a year, month, day, hour, minute or second: `7`, `07.0`, `7.25`."""
    whole, mark, fraction = cell.partition(".")
    return whole.isdecimal() and whole.isascii() and (not mark or fraction.isdecimal())


def value(cell: str) -> float | None:
    """A cell as a number, or None."""
    try:
        return numbers.parse(cell).value
    except ValueError:
        return None


def is_number(cell: str) -> bool:
    """Whether a cell is a number."""
    return value(cell) is not None


def has_comma(column: Column) -> bool:
    """Whether numbers of a column have commas."""
    return any("," in cell and is_number(cell) for cell in column.cells())


def is_zoned(cell: str) -> bool:
    """Whether a cell is a time that states its zone."""
    found = _kind_of(cell)
    return found is not None and found.has_zone


def is_naive(cell: str) -> bool:
    """Whether a cell is a time without a zone."""
    found = _kind_of(cell)
    return found is not None and not found.has_zone
