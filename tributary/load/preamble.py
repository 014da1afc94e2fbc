"""Finds where a table begins: below titles, comments and `sep=` lines. Pure."""

from __future__ import annotations

import csv
import re

from tributary.load import names, numbers, table, times, vocabulary
from tributary.load.plan import Options
from tributary.load.table import BLANKS

DELIMITERS = ("\t", ";", "|", ",", BLANKS)
_COMMENTS = ("#", "//", "%")
_ZONE = re.compile(
    r"\b(?:UTC|GMT)\s?[+-]\s?0?[1-9]|\b[A-Z][a-z]+/[A-Z][a-z]+_?[A-Za-z]*\b(?=\W*$)"
    r"|(?i:time\s?zone|zeitzone|fuseau)\W+(?!UTC|GMT|Z\b)\w"
)


def beginning(lines: list[str], options: Options) -> tuple[int, str | None]:
    """The first line of the table or what is above it, and the delimiter if one is stated."""
    start, delimiter = options.skip_lines, options.delimiter
    while start < len(lines) and not lines[start].strip():
        start += 1
    first = lines[start].strip().strip('"').lower()
    if first.startswith("sep=") and len(first) in (4, 5):
        return start + 1, delimiter or (first[4:] or "\t")
    comment = options.comment
    while start < len(lines) and not comment and lines[start].startswith(_COMMENTS):
        if _is_header_line(lines, start):
            break
        start += 1
    return start, delimiter


def zone(above: list[str]) -> str:
    """The first line above a table that states a zone other than UTC, or nothing."""
    return next((line.strip()[:60] for line in above if _ZONE.search(line)), "")


def _is_header_line(lines: list[str], at: int) -> bool:
    """Whether a line that begins like a comment is the header: the next has as many cells."""
    after = [line for line in lines[at + 1 : at + 4] if line.strip()]
    rows = [line for line in after if not line.startswith(_COMMENTS)]
    if not rows or (len(rows) < len(after) and not after[0].startswith("#")):
        return False
    for delimiter in DELIMITERS:
        cells = _cells(lines[at], delimiter)
        if len({len(cells), *(len(_cells(line, delimiter)) for line in (after[0], rows[0]))}) == 1:
            is_named = delimiter != BLANKS or _begins_with_time(cells)
            below = any(map(is_value, _cells(rows[0], delimiter)))
            if len(cells) > 1 and is_named and below and not any(map(is_value, cells)):
                return True
    return False


def _begins_with_time(cells: list[str]) -> bool:
    first = cells[0].lstrip("# ")
    return names.time_rank(first) is not None or names.rank(first, vocabulary.YEARS) is not None


def is_value(cell: str) -> bool:
    """Whether a cell is a number, a time or an empty number, unlike the name of a column."""
    if not cell:
        return False
    try:
        found = numbers.parse(cell)
    except ValueError:
        return times.kind(cell) is not None
    return not found.unit or names.unit_of(found.unit) is not None or found.unit == numbers.CLOCK


def _cells(line: str, delimiter: str) -> list[str]:
    row = next(table.split([line], delimiter), [])
    return [] if isinstance(row, csv.Error) else [cell.strip() for cell in row]
