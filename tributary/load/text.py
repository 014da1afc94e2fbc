"""Parses numbers and times in the notations found in files.

Spreadsheets write `56,10`, `1.234,5`, `1,51E+12`, `-583.206.639`; loggers include the unit in
the cell: `82C`, `2124RPM`, `74,50%`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

from tributary.model import reading

CLOCK = "h:m:s"  # the unit of 00:45:33, which is parsed as seconds

_CELL_MAX = 64
_LAST_MS = 253_402_300_799_999  # the end of the year 9999
_MISSING = frozenset(
    ("", "-", "--", "?", "na", "n/a", "nan", "nil", "none", "null", "nodata", "no data")
)
_NUMBER = re.compile(
    r"(?P<sign>[+-]?)(?P<digits>\d[\d.,'\u00a0\u202f ]*\d|\d|\d+[.,]|[.,]\d+)"
    r"(?P<exponent>[eE][+-]?\d{1,3})?(?P<unit>\s*[^\W\d_]{0,8}(?:[%°/²³][^\W\d_]{0,8}){0,3})"
)
_GROUPED = {
    mark: re.compile(rf"[1-9]\d{{0,2}}(?:{re.escape(mark)}\d{{3}})+") for mark in (".", ",")
}
_SPACED = re.compile(r"[1-9]\d{0,2}(?:[ '\u00a0\u202f]\d{3})+(?:[.,]\d+)?")
_SPACES = re.compile(r"[ '\u00a0\u202f]")
_CLOCK = re.compile(r"(\d{1,4}):([0-5]\d):([0-5]\d(?:[.,]\d{1,6})?)")
_OTHER = {".": ",", ",": "."}


class Number(NamedTuple):
    """A number and the unit after it, if any."""

    value: float
    unit: str


class Format(NamedTuple):
    """The format of the times of a column: a pattern of strptime, `iso`, or nothing for an epoch."""

    name: str
    pattern: str


EPOCH = Format("a number since 1970", "")
ISO = Format("ISO 8601", "iso")
FORMATS = (
    EPOCH,
    ISO,
    Format("year/month/day", "%Y/%m/%d %H:%M:%S.%f"),
    Format("day.month.year", "%d.%m.%Y %H:%M:%S.%f"),
    Format("day/month/year", "%d/%m/%Y %H:%M:%S.%f"),
    Format("month/day/year", "%m/%d/%Y %H:%M:%S.%f"),
)


def is_missing(text: str) -> bool:
    """Whether a cell means that there is no value."""
    return text.strip().lower() in _MISSING


def number(text: str, mark: str = ".") -> Number:
    """A cell as a number.

    Args:
        text: `56,10`, `1.234,5`, `82C`, `1,51E+12`, `00:45:33`.
        mark: the decimal mark of ambiguous cells such as `1.234`.

    Raises:
        ValueError: the text is not a number.
    """
    stripped = text.strip().replace("\u2212", "-")
    if clock := _CLOCK.fullmatch(stripped):
        seconds = float(clock[3].replace(",", "."))
        return Number(int(clock[1]) * 3600 + int(clock[2]) * 60 + seconds, CLOCK)
    match = _NUMBER.fullmatch(stripped) if len(stripped) <= _CELL_MAX else None
    if match is None:
        raise ValueError(f"{text!r:.60} is not a number")
    exponent = match["exponent"] or ""
    decimal = proof(match["digits"], exponent) or mark
    digits = _SPACES.sub("", match["digits"])
    plain = digits.replace(_OTHER[decimal], "").replace(decimal, ".")
    if plain.count(".") > 1 or not _is_grouped_well(match["digits"], digits, decimal):
        raise ValueError(f"{text!r:.60} is not a number")
    value = float(match["sign"] + plain + exponent)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text!r:.60} is too large for a number")
    return Number(value, match["unit"].strip())


def proof(digits: str, exponent: str = "") -> str | None:
    """The decimal mark that these digits prove, or None if they are ambiguous."""
    dots, commas = digits.count("."), digits.count(",")
    if dots and commas:
        return "." if digits.rfind(".") > digits.rfind(",") else ","
    if dots + commas == 0:
        return None
    mark = "." if dots else ","
    if dots + commas > 1:
        return _OTHER[mark]
    return None if not exponent and _GROUPED[mark].fullmatch(digits) else mark


def proved_mark(text: str) -> str | None:
    """The decimal mark that a cell proves, or None."""
    stripped = text.strip()
    match = _NUMBER.fullmatch(stripped) if len(stripped) <= _CELL_MAX else None
    return proof(match["digits"], match["exponent"] or "") if match else None


def time_ms(text: str, form: Format, mark: str = ".") -> int:
    """A cell as UTC epoch milliseconds; a time without a zone is assumed to be UTC.

    Raises:
        ValueError: the text does not have this format, or the time is before 1970.
    """
    stripped = text.strip()
    if form == EPOCH and stripped.isascii() and stripped.isdecimal():
        since_ms = reading.time_ms(int(stripped))  # nanoseconds stay exact
    elif form == EPOCH:
        since_ms = reading.time_ms(number(stripped, mark).value)
    else:
        moment = _moment(stripped, form)
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        since_ms = reading.time_ms(zoned.isoformat())
    return in_range_ms(since_ms, text)


def in_range_ms(since_ms: int, given: object) -> int:
    """Check that a time is not after the year 9999.

    Raises:
        ValueError: it is.
    """
    if since_ms > _LAST_MS:
        raise ValueError(f"{given!r:.60} is after the year 9999")
    return since_ms


def has_zone(text: str, form: Format) -> bool:
    """Whether a time in this format has a zone."""
    return form == EPOCH or _moment(text.strip(), form).tzinfo is not None


def _moment(text: str, form: Format) -> datetime:
    if form == ISO:
        return datetime.fromisoformat(text)
    date, _, clock = text.partition(" ")
    hours, dot, fraction = clock.strip().partition(".")
    if hours.count(":") == 1:
        hours += ":00"
    whole = f"{date} {hours or '00:00:00'}.{fraction if dot else '0'}"
    return datetime.strptime(whole, form.pattern)  # noqa: DTZ007 (the caller adds the zone)


def _is_grouped_well(written: str, digits: str, decimal: str) -> bool:
    """Whether marks and spaces between digits separate thousands."""
    if len(written) != len(digits) and not _SPACED.fullmatch(written):
        return False
    other = _OTHER[decimal]
    whole = digits.partition(decimal)[0]
    return other not in digits or (
        other not in digits.partition(decimal)[2] and bool(_GROUPED[other].fullmatch(whole))
    )
