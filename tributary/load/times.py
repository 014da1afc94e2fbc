"""Parses times in the notations of loggers and spreadsheets. Pure.

A time is parsed into milliseconds of its own clock and its offset from UTC, if it states one.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from tributary.load.vocabulary import (
    ABBREVIATIONS_MIN,
    MONTH_NAMES,
    SHARED_ZONES,
    WINTER_ZONES,
)

DAY_MS = 86_400_000
ORDERS = ("dmy", "mdy", "ymd")

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (times of a clock have no zone)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_MS = timedelta(milliseconds=1)
_CELL_MAX = 80

_DATE = re.compile(
    r"(?P<year>\d{4})-?W(?P<week>\d{2})(?:-?(?P<weekday>[1-7]))?"
    r"|(?P<oyear>\d{4})-(?P<ordinal>\d{3})(?!\d)"
    r"|(?P<y>\d{4})(?P<s>[-/年]|\.\s?)(?P<m>\d{1,2})(?:[-/月]|\.\s?)(?P<d>\d{1,2})(?:日|\.(?!\d))?"
    r"|(?P<cy>(?:19|20)\d\d)(?P<cm>\d{2})(?P<cd>\d{2})(?=$|[T _-]|\d{2})"
    r"|(?P<a>\d{1,2})(?P<sep>[-/]|\.\s?)(?P<b>\d{1,2})(?P=sep)(?P<c>\d{4}|\d{2})(?!\d)"
    r"|(?P<nd>\d{1,2})(?:st|nd|rd|th)?\.?(?:[-/ ]{0,2}| de )(?P<nm>[^\W\d_]{3,10})\.?(?:[-/, ]{0,2}| del? )"
    r"(?P<ny>\d{4}|\d{2})(?!\d)"
    r"|(?P<mm>[^\W\d_]{3,10})\.?[- ]{1,2}(?P<md>\d{1,2})(?:st|nd|rd|th)?(?:, ?|[- ])(?P<my>\d{4})"
)
_WEEKDAY = re.compile(r"[^\W\d_]{2,10}\.?,?\s+(?=\S)")
_ASCTIME = re.compile(
    r"(?P<month>[^\W\d_]{3,10})\s+(?P<day>\d{1,2})\s+(?P<clock>\d{1,2}:\d\d:\d\d(?:[.,]\d+)?)"
    r"(?P<zone>\s+\S+)?\s+(?P<year>\d{4})"
)
_ZONE = r"(?:\s?(?P<z>(?:UTC|GMT)?\s?[+-]\d{1,2}(?::?\d{2})?|[A-Za-z]{1,4})(?:(?<=\d)\s[A-Z]{3,4})?)?(?:\s?\[[\w/+-]+\]|\s\([\w ]+\))?"
_CLOCK = (
    r"(?P<H>\d{1,2})(?:(?P<dot>\.)|[:h])(?P<M>\d{2})"
    r"(?:(?(dot)\.|:)(?P<S>\d{2})(?:[.,:](?P<f>\d{1,9}))?)?(?:\s?Uhr)?"
    r"(?:\s?(?P<ap>[AaPp])\.?\s?[Mm]\.?)?"
)
_DASHED = r"(?P<dH>\d\d)-(?P<dM>\d\d)-(?P<dS>\d\d)(?:[.,-](?P<df>\d{1,9}))?"
_COMPACT = r"(?P<cH>\d{2})(?:(?P<cM>\d{2})(?:(?P<cS>\d{2})(?:[.,]?(?P<cf>\d{1,9}))?)?)?"
_TAIL = re.compile(
    rf"(?:(?:\s*[T,_ :-]\s*|\s+(?:um|at|à|@|a las)\s+){_CLOCK}|[T _-]{_DASHED}|[T _-]?{_COMPACT})?"
    rf"{_ZONE}\s*",
    re.IGNORECASE,
)
_CLOCK_MARK = re.compile(r":|\dh\d")  # dots alone are decimal marks
_CLOCK_ONLY = re.compile(rf"{_CLOCK}{_ZONE}", re.IGNORECASE)
_MINUTES = re.compile(r"(\d{1,3}):([0-5]\d)[.,](\d{1,6})")  # 59:59.5: a fraction is of seconds
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
_TRIPLE = re.compile(
    r"(?m)^(?:[^\W\d_]{2,10}\.?,?\s+)?(\d{1,2})([-/]|\.\s?)(\d{1,2})\2(\d{4}|\d\d)(?!\d)"
)


class Clock(NamedTuple):
    """A time: milliseconds since 1970 on its own clock, and its offset from UTC if stated.

    `zone` is an abbreviation that does not determine the offset.
    """

    local_ms: int
    offset_min: int | None = None
    zone: str = ""


class Kind(NamedTuple):
    """What a text states of a time."""

    has_date: bool
    has_clock: bool
    has_zone: bool


def parse(text: str, order: str = "dmy") -> Clock:
    """A date, with or without a time of day, in any known notation.

    Args:
        text: `2025-11-25T15:22:01.5Z`, `25.11.2025 15:22`, `Nov 25, 2025 3:22 PM`, `2025-W48-2`.
        order: that of day, month and year if they are three short numbers: `dmy`, `mdy`, `ymd`.

    Raises:
        ValueError: it has no known notation, or the date does not exist.
    """
    stripped = text.strip()
    if _ISO.match(stripped):
        try:
            return _from_iso(stripped)
        except ValueError:
            pass_on = stripped  # AM or PM, a named zone
    else:
        pass_on = _without_weekday(stripped)
    if len(pass_on) > _CELL_MAX or not (match := _DATE.match(pass_on)):
        raise ValueError(f"{text!r:.60} is not a time in a known notation")
    tail = _TAIL.fullmatch(pass_on, match.end())
    if tail is None:
        raise ValueError(f"{text!r:.60} is not a time in a known notation")
    local_ms, zone = _day_ms(match[0], order) + _clock_ms(tail), (tail["z"] or "").lower()
    if zone in SHARED_ZONES or (zone in WINTER_ZONES and _is_summer(local_ms)):
        return Clock(local_ms, None, tail["z"])
    return Clock(local_ms, _offset_min(tail["z"]))


def parse_clock(text: str) -> Clock:
    """A time of day (`17:24`, `5:24:01.5 PM`, `17.24.00`) as milliseconds since midnight.

    Raises:
        ValueError: it is not a time of day.
    """
    stripped = text.strip()[:_CELL_MAX]
    if match := _MINUTES.fullmatch(stripped):
        return Clock(int(match[1]) * 60_000 + int(match[2]) * 1000 + int((match[3] + "000")[:3]))
    match = _CLOCK_ONLY.fullmatch(stripped)
    if match is None:
        raise ValueError(f"{text!r:.60} is not a time of day")
    return Clock(_clock_ms(match), _offset_min(match["z"]))


def kind(text: str) -> Kind | None:
    """What a text states, whatever the order of day and month; None if it is not a time."""
    for order in ORDERS:
        try:
            found = parse(text, order)
        except ValueError:
            continue
        date_end = _DATE.match(_without_weekday(text.strip()))
        rest = text.strip()[date_end.end() :] if date_end else "x"
        return Kind(True, any(c.isdigit() for c in rest), found.offset_min is not None)
    if not _CLOCK_MARK.search(text):
        return None
    try:
        return Kind(False, True, parse_clock(text).offset_min is not None)
    except ValueError:
        return None


def triples(lines: str) -> set[tuple[int, str, int, int, int]]:
    """The short dates at the beginnings of lines: three numbers, the separator, and digits of the year."""
    return {(int(a), sep[0], int(b), int(c), len(c)) for a, sep, b, c in _TRIPLE.findall(lines)}


def orders(
    found: Collection[tuple[int, str, int, int, int]], last_year: int = 2099, least: float = 1.0
) -> list[str]:
    """The orders under which a share of these short dates exist, without equal readings.

    Dots are always day.month.year if such dates exist; two digits of a year mean 1970 to 2069,
    and no year is after `last_year`.
    """
    possible = []
    for order in ORDERS:
        if order == "ymd" and any(digits == 4 for *_, digits in found):
            continue
        exist = sum(_exists(a, b, c, order, last_year) for a, _, b, c, _ in found)
        if exist >= len(found) * least:
            possible.append(order)
    if "dmy" in possible and all(sep == "." for _, sep, *_ in found):
        return ["dmy"]
    if set(possible) == {"dmy", "mdy"} and all(a == b for a, _, b, *_ in found):
        return ["dmy"]
    return possible


def offset_min(text: str) -> int | None:
    """An offset such as `+02:00`, `GMT+2`, `Z`, `CET` in minutes, or None.

    Raises:
        ValueError: it is an unknown abbreviation.
    """
    return _offset_min(text.strip() or None)


def _is_summer(local_ms: int) -> bool:
    """Whether summer time applies in Europe, when many clocks still state the name of winter."""
    return 4 <= (_EPOCH + local_ms * _MS).month <= 10


def _from_iso(text: str) -> Clock:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        return Clock((moment - _EPOCH) // _MS)
    offset = moment.utcoffset() or timedelta(0)
    return Clock((moment - _EPOCH_UTC + offset) // _MS, offset // timedelta(minutes=1))


def _without_weekday(text: str) -> str:
    """The text without a day of the week, and with the year of asctime before the clock."""
    bare = text
    if (
        (match := _WEEKDAY.match(text))
        and text[: match.end()].strip(" .,").lower() not in MONTH_NAMES
    ) or (match and (rest := _WEEKDAY.match(text, match.end())) and rest):
        bare = text[match.end() :]
    if asctime := _ASCTIME.fullmatch(bare):
        zone = asctime["zone"] or ""
        return f"{asctime['day']} {asctime['month']} {asctime['year']} {asctime['clock']}{zone}"
    return bare


@lru_cache(1 << 12)
def _day_ms(text: str, order: str) -> int:
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r:.60} is not a date")
    return (_ordinal(match, order) - _EPOCH_DAY) * DAY_MS


def _ordinal(match: re.Match[str], order: str) -> int:
    g = match.groupdict()
    if g["year"]:
        return date.fromisocalendar(
            int(g["year"]), int(g["week"]), int(g["weekday"] or 1)
        ).toordinal()
    if g["oyear"]:
        start = date(int(g["oyear"]), 1, 1)
        day = start + timedelta(days=int(g["ordinal"]) - 1)
        if day.year != start.year:
            raise ValueError(f"{match[0]!r} does not exist")
        return day.toordinal()
    if g["y"]:
        return date(int(g["y"]), int(g["m"]), int(g["d"])).toordinal()
    if g["cy"]:
        return date(int(g["cy"]), int(g["cm"]), int(g["cd"])).toordinal()
    if g["a"]:
        return date(*_ordered(int(g["a"]), int(g["b"]), int(g["c"]), order)).toordinal()
    name, of_month, of_year = (
        (g["nm"], g["nd"], g["ny"]) if g["nm"] else (g["mm"], g["md"], g["my"])
    )
    month_number = MONTH_NAMES.get(name.lower())
    if month_number is None:
        raise ValueError(f"{name!r} is not the name of a month")
    return date(_year(int(of_year)), month_number, int(of_month)).toordinal()


def _ordered(a: int, b: int, c: int, order: str) -> tuple[int, int, int]:
    if order == "ymd":
        return _year(a), b, c
    return (_year(c), b, a) if order == "dmy" else (_year(c), a, b)


def _year(year: int) -> int:
    if year < 100:  # as in POSIX, but one year later
        return year + (2000 if year < 70 else 1900)
    return year


def _exists(a: int, b: int, c: int, order: str, last_year: int) -> bool:
    try:
        return date(*_ordered(a, b, c, order)).year <= last_year
    except ValueError:
        return False


def _clock_ms(match: re.Match[str]) -> int:
    g = match.groupdict()
    hour, minute, second, fraction = (g["H"], g["M"], g["S"], g["f"])
    if hour is None:
        kind = "d" if g.get("dH") else "c"
        hour, minute, second, fraction = (g.get(kind + part) for part in ("H", "M", "S", "f"))
    if hour is None:
        return 0
    h, m, s = int(hour), int(minute or 0), int(second or 0)
    if half := g["ap"]:
        if not 1 <= h <= 12:
            raise ValueError(f"{match[0].strip()!r:.40} has no such hour")
        h = h % 12 + (12 if half in "Pp" else 0)
    if h > 24 or m > 59 or s > 60 or (h == 24 and (m or s)):
        raise ValueError(f"{match[0].strip()!r:.40} is not a time of day")
    return ((h * 60 + m) * 60 + s) * 1000 + int(((fraction or "") + "000")[:3])


@lru_cache(1 << 8)
def _offset_min(zone: str | None) -> int | None:
    if zone is None:
        return None
    text = re.sub(r"^(?:UTC|GMT)\s?(?=[+-])", "", zone.strip(), flags=re.IGNORECASE)
    if match := re.fullmatch(r"([+-])(\d{1,2}):?(\d{2})?", text):
        minutes = int(match[2]) * 60 + int(match[3] or 0)
        if minutes > 18 * 60:
            raise ValueError(f"{zone!r} is not an offset from UTC")
        return -minutes if match[1] == "-" else minutes
    if text.lower() not in ABBREVIATIONS_MIN:
        raise ValueError(f"{zone!r} is not the name of a zone that is the same everywhere")
    return ABBREVIATIONS_MIN[text.lower()]
