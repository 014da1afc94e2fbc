"""Finds out how a text file is laid out from its first lines: delimiter, header, units row. Pure."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tributary.errors import Misconfigured
from tributary.load import names, preamble, table, time_cells, times
from tributary.load.plan import NoMetrics, Options
from tributary.load.preamble import DELIMITERS, is_value
from tributary.load.table import BLANKS, Form

HEAD_LINES = 1000
_HEADER_MAX = 100  # rows above the header
_SEPARATED_MIN = 0.8  # share of rows that have the usual number of cells


class _Row(NamedTuple):
    """A row of the head; `after` lines end with it."""

    cells: list[str]
    after: int


def form_of(head: Sequence[bytes], options: Options) -> Form:
    """Detect the layout of a file from its first lines.

    Raises:
        Misconfigured: it has no rows, or no line of column names.
    """
    lines = list(table.texts(head))
    first = next((line.strip() for line in lines[options.skip_lines :] if line.strip()), "")
    if not first:
        raise NoMetrics("the file is empty; it needs a line of column names and rows below")
    if first.startswith("{"):
        return Form("NDJSON")
    if first.startswith("["):
        raise Misconfigured("the file is a JSON array; write one object per line (jq -c '.[]')")
    if first.startswith("<"):
        raise Misconfigured("the file is XML or HTML; save the table as CSV")
    start, delimiter = preamble.beginning(lines, options)
    if delimiter is None:
        delimiter = _detect(lines[start:])
    rows = _parsed(lines, start, delimiter, options.comment)
    if not rows:
        raise Misconfigured("the file has only comments; it needs a line of column names and rows")
    if options.columns:
        return _named(rows, delimiter, options, start)
    return _with_header(rows, delimiter, options, lines, start)


def _detect(lines: list[str]) -> str:
    """The delimiter that splits most lines into equally many cells, beginning with the header."""

    def score(delimiter: str) -> tuple[float, int, int]:
        widths = [
            len(row)
            for row in table.split(lines, delimiter)
            if not isinstance(row, csv.Error) and row
        ]
        common = Counter(width for width in widths if width > 1).most_common(1)
        if not common:
            return (0.0, 0, 0)
        width, count = common[0]
        begins = next(n for n, each in enumerate(widths) if each == width)
        share = count / max(1, len(widths) - min(begins, 30))
        return (min(share, _SEPARATED_MIN), -begins, -DELIMITERS.index(delimiter))

    scores = {delimiter: score(delimiter) for delimiter in DELIMITERS}
    visible = max(DELIMITERS[:4], key=lambda delimiter: scores[delimiter])
    is_decimal = visible == "," and scores[BLANKS] > scores[","] and _is_header_of_blanks(lines)
    if scores[visible][0] >= 0.5 and not is_decimal:
        return visible
    return BLANKS if is_decimal else max(visible, BLANKS, key=lambda delimiter: scores[delimiter])


def _is_header_of_blanks(lines: list[str]) -> bool:
    """Whether the first line has names between blanks, so that commas below it are decimal marks."""
    cells = next((line.split() for line in lines if line.strip()), [])
    return _known_names(cells) > 0 and "," not in "".join(cells) and not _looks_like_data(cells)


def _parsed(lines: list[str], start: int, delimiter: str, comment: str) -> list[_Row]:
    """The rows of the head that are not empty."""
    read = start

    def counted() -> Iterator[str]:
        nonlocal read
        for line in lines[start:]:
            read += 1
            if not table.is_left_out(line, comment):
                yield line

    return [
        _Row([cell.strip() for cell in row], read)
        for row in table.split(counted(), delimiter)
        if not isinstance(row, csv.Error) and any(cell.strip() for cell in row)
    ]


def _named(rows: list[_Row], delimiter: str, options: Options, start: int) -> Form:
    """The form of a file whose columns the user has named; a header is below the rows skipped."""
    width = _width(rows)
    if len(options.columns) != width:
        raise Misconfigured(
            f"--columns names {len(options.columns)} columns, but the rows have {width} cells"
        )
    columns = table.unique(options.columns)
    at = next(n for n, row in enumerate(rows) if len(row.cells) >= width)
    while at < len(rows) - 1 and not any(map(is_value, rows[at].cells)):
        at += 1
    above = rows[at - 1].after if at else start
    has_units = at > 0 and len(rows[at - 1].cells) == width and _is_units(rows[at - 1].cells, rows)
    units = tuple(rows[at - 1].cells) if has_units else ()
    return Form("CSV", delimiter, columns, above, columns, units, options.comment)


def _with_header(
    rows: list[_Row], delimiter: str, options: Options, lines: list[str], start: int
) -> Form:
    width = _width(rows)
    at = _header(rows, width)
    if at is None:
        shown = next((row.cells for row in rows if len(row.cells) == width), rows[0].cells)
        raise Misconfigured(
            f"no line of column names was found above the row {_shown(shown)}; name the "
            f"{width} columns with --columns a,b,…, or skip lines with --skip-lines"
        )
    cells = rows[at].cells
    if start < len(lines) and cells[0].startswith("#") and len(cells[0]) > 1:
        cells = [cells[0].lstrip("# "), *cells[1:]]
    below = rows[at + 1 :]
    units = below[0].cells if below and _is_units(below[0].cells, below[1:]) else []
    skipped = _lines_of_units(below) if units else 0
    first_line = rows[at + skipped].after
    body = [row.cells for row in below[skipped:]]
    cells, units = _aligned(cells, units, body)
    columns = table.unique(cells)
    if len(columns) > table.COLUMNS_MAX:
        raise Misconfigured(f"more than {table.COLUMNS_MAX} columns; split the file")
    header = tuple(rows[at].cells)
    zone = preamble.zone(lines[: rows[at - 1].after] if at else lines[:start])
    return Form("CSV", delimiter, columns, first_line, header, tuple(units), options.comment, zone)


def _width(rows: list[_Row]) -> int:
    """The number of cells of the rows that have most of all cells: not that of lines above them."""
    widths = Counter(len(row.cells) for row in rows)
    return max(widths, key=lambda width: (widths[width] * width, width))


def _header(rows: list[_Row], width: int) -> int | None:
    """The index of the row of column names, or None."""
    least = max(2, width - 1)
    found = [
        n
        for n, row in enumerate(rows[:_HEADER_MAX])
        if abs(len(row.cells) - width) <= 1
        and sum(map(bool, row.cells)) * 2 >= len(row.cells)
        and not _looks_like_data(row.cells)
    ]
    best = max(found, key=lambda n: (_known_names(rows[n].cells), -n), default=None)
    if best is not None and _known_names(rows[best].cells):
        return best
    data = next(
        (
            n
            for n, row in enumerate(rows)
            if len(row.cells) >= least and _looks_like_data(row.cells)
        ),
        len(rows),
    )
    if found and found[0] < data:
        return found[0]
    return data if data < len(rows) and _contrasts(rows[data].cells, rows[data + 1 :]) else None


def _looks_like_data(cells: list[str]) -> bool:
    return any(map(is_value, cells))


def _contrasts(cells: list[str], below: list[_Row]) -> bool:
    """Whether a row with numbers as names (`time;1;2`) is a header: times are below its text."""
    body = [row.cells for row in below[:20] if len(row.cells) == len(cells)]
    return any(
        cell and not is_value(cell) and names.time_rank(cell) is not None
        and body and all(is_value(row[n]) for row in body)
        for n, cell in enumerate(cells)
    )  # fmt: skip


def _known_names(cells: list[str]) -> int:
    times_named = sum(names.time_rank(cell) is not None for cell in cells)
    return 2 * times_named + sum(names.device_rank(cell) is not None for cell in cells)


def _is_units(cells: list[str], below: list[_Row]) -> bool:
    """Whether the row below the header has units: most of its cells are units, and none a value."""
    filled = [cell for cell in cells if cell]
    if cells[0].startswith("#") and below and len(cells) == len(below[0].cells):
        return not _looks_like_data(cells)
    units = sum(names.unit_of(cell) is not None for cell in filled)
    return (
        bool(below) and units > 0 and units * 2 >= len(filled) - 1 and not _looks_like_data(cells)
    )


def _lines_of_units(below: list[_Row]) -> int:
    """The number of lines of units; those below name how values are made, or their sources."""
    for n, row in enumerate(below[1:-1], 1):
        if _looks_like_data(row.cells) or row.cells[0] or len(row.cells) != len(below[0].cells):
            return n
    return 1


def _aligned(
    cells: list[str], units: list[str], body: list[list[str]]
) -> tuple[list[str], list[str]]:
    """Names and units for as many columns as the rows have."""
    while cells and not cells[-1] and all(len(row) < len(cells) or not row[-1] for row in body):
        cells = cells[:-1]
    trimmed = [_trimmed(row, len(cells)) for row in body]
    if body and all(len(row) == len(cells) + 1 and not row[-1] for row in body):
        _refuse_row_names(cells, body)
    wide = Counter(len(row) for row in trimmed).most_common(1)[0][0] if trimmed else len(cells)
    if wide == len(cells) + 1 and _are_row_names(cells, trimmed):
        return ["", *cells], units if len(units) == wide or not units else ["", *units]
    if wide > len(cells):
        raise Misconfigured(
            f"the rows have {wide} cells, but the line of column names has {len(cells)}: "
            f"{_shown(cells)}; give the --delimiter, or name the columns with --columns"
        )
    return cells, units


def _refuse_row_names(cells: list[str], body: list[list[str]]) -> None:
    """Refuse rows with an extra empty cell whose first cells may be names of the rows."""
    first = [row[0] for row in body]
    counts_up = all(cell == str(n) for n, cell in enumerate(first, int(first[0] == "1")))
    are_words = not any(map(is_value, first))
    if len(set(first)) == len(first) > 1 and (are_words or counts_up):
        raise Misconfigured(
            f"the rows have an empty cell more than the line of column names ({_shown(cells)}), and "
            "may begin with names of rows; name all columns with --columns"
        )


def _are_row_names(cells: list[str], body: list[list[str]]) -> bool:
    """Whether the first cells of rows are names that the header leaves out."""
    if names.time_rank(cells[0]) is not None and all(
        times.kind(row[0]) for row in body[:20] if row
    ):
        return times.kind(cells[0]) is None and all(
            times.kind(row[1]) or time_cells.is_clock(row[1]) for row in body[:20] if len(row) > 1
        )
    return True


def _trimmed(row: list[str], width: int) -> list[str]:
    while len(row) > width and not row[-1]:
        row = row[:-1]
    return row


def _shown(cells: list[str]) -> str:
    return repr(" | ".join(cells))[:80]
