"""Parses numbers in the notations found in files. Pure.

Spreadsheets write `56,10`, `1.234,5`, `1,51E+12`, `-583.206.639`; loggers include the unit in
the cell: `82C`, `2124RPM`, `74,50%`.
"""

from __future__ import annotations

import re
from math import isinf
from typing import NamedTuple

from tributary.load import vocabulary

CLOCK = "h:m:s"  # the unit of 00:45:33, which is parsed as seconds

_CELL_MAX = 64
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


def is_missing(text: str) -> bool:
    """Whether a cell means that there is no value."""
    return text.strip().lower() in vocabulary.MISSING


def boolean(text: str) -> float | None:
    """1 for `true`, `on`, `yes`, `open` and such, 0 for their opposites, else None."""
    word = text.strip().lower()
    if word in vocabulary.TRUE:
        return 1.0
    return 0.0 if word in vocabulary.FALSE else None


def parse(text: str, mark: str = ".") -> Number:
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
    match = _match(stripped)
    if match is None:
        raise ValueError(f"{text!r:.60} is not a number")
    exponent = match["exponent"] or ""
    decimal = _proof(match["digits"], exponent) or mark
    digits = _SPACES.sub("", match["digits"])
    plain = digits.replace(_OTHER[decimal], "").replace(decimal, ".")
    if plain.count(".") > 1 or not _is_grouped_well(match["digits"], digits, decimal):
        raise ValueError(f"{text!r:.60} is not a number")
    value = float(match["sign"] + plain + exponent)
    if isinf(value):
        raise ValueError(f"{text!r:.60} is too large for a number")
    return Number(value, match["unit"].strip())


def proved_mark(text: str) -> str | None:
    """The decimal mark that a cell proves, or None."""
    match = _match(text.strip().replace("\u2212", "-"))
    return _proof(match["digits"], match["exponent"] or "") if match else None


def is_ambiguous(text: str) -> bool:
    """Whether a cell is another number with another decimal mark: `1.234`, `1,234`."""
    match = _match(text.strip().replace("\u2212", "-"))
    if match is None or not set(match["digits"]) & {".", ","}:
        return False
    return _proof(match["digits"], match["exponent"] or "") is None


def _match(stripped: str) -> re.Match[str] | None:
    return _NUMBER.fullmatch(stripped) if len(stripped) <= _CELL_MAX else None


def _proof(digits: str, exponent: str) -> str | None:
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


def _is_grouped_well(written: str, digits: str, decimal: str) -> bool:
    """Whether marks and spaces between digits separate thousands."""
    if len(written) != len(digits) and not _SPACED.fullmatch(written):
        return False
    other = _OTHER[decimal]
    whole = digits.partition(decimal)[0]
    return other not in digits or (
        other not in digits.partition(decimal)[2] and bool(_GROUPED[other].fullmatch(whole))
    )
