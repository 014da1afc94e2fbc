"""What the cells of a whole file show about its columns, in bounded memory. Pure.

Cells are grouped by shape, in which `9` stands for every digit: a column of a million numbers has
a few shapes, each with its count and some examples. Only what a shape cannot show is taken from
the cells themselves: smallest and greatest number, distinct texts, short dates.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from math import inf

from tributary.load import names, numbers, times
from tributary.load.table import Record

SHAPES_MAX = 400  # per column
DISTINCT_MAX = 500  # texts per column; of columns with the name of a device:
DEVICES_MAX = 20_000
TRIPLES_MAX = 5000
ROWS_KEPT_MAX = 2000
_CELL_MAX = 128  # longer cells are cut
_EXAMPLES = 4
_CHUNK_ROWS = 1000
_HEAD_ROWS = 300
_STEP = 50  # between the cells that show whether a column of texts also has numbers

# Multiples of the golden ratio are evenly spread, also those of every n-th row.
_GOLDEN, _HASH_MAX = 2_654_435_769, 0xFFFF_FFFF
_DIGITS = str.maketrans("0123456789", "9" * 10)
_SHORT_DATE = re.compile(r"(?:[^\W\d_]{2,10}\.?,?\s+)?9{1,2}([-/]|\.\s?)9{1,2}\1(?:9999|99)(?!9)")
_DECIMAL_ZERO = re.compile(r"(?m)^[+-]?0([.,])\d{3}(?!\d)")
_THREE_DECIMALS = re.compile(r"[.,]999(?!9)")
# Numbers that usually stand for missing ones: chosen by people, or the limits of registers.
LOW_SENTINELS = frozenset((
    -99.9, -99.99, -127.0, -200.0, -999.0, -999.9, -999.99, -9999.0, -9999.9, -9999.99, -99999.0,
    -999999.0, -32767.0, -32768.0, -2147483648.0, -3276.8,
))  # fmt: skip
HIGH_SENTINELS = frozenset((
    999.0, 999.9, 999.99, 9999.0, 9999.9, 9999.99, 99999.0, 999999.0, 9999999.0, 32767.0, 3276.7,
    65535.0, 6553.5, 2147483647.0, 4294967295.0,
))  # fmt: skip


class Shape:
    """The cells of one shape: how many, and some of them."""

    __slots__ = ("count", "examples")

    def __init__(self) -> None:
        self.count = 0
        self.examples: dict[str, None] = {}


class Column:
    """The cells of one column that are not missing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.filled = 0
        self.shapes: dict[str, Shape] = {}
        self.other = 0  # cells of shapes beyond the limit
        self.distinct: dict[str, None] | None = {}
        self.triples: set[tuple[int, str, int, int, int]] = set()
        self.low, self.high = float("inf"), float("-inf")
        self.next: float | None = None  # the number after the last, if all count up
        self.counts_up = self.never_decreases = True
        self._last = -inf
        self.proofs: Counter[str] = Counter()  # of decimal marks, by leading zeros
        self.rest_low, self.rest_high = inf, -inf  # without numbers that may stand for missing ones
        self._has_dates = self._has_threes = False
        self._distinct_max = DEVICES_MAX if names.device_rank(name) is not None else DISTINCT_MAX

    def add(self, cells: list[str]) -> None:
        """Add cells without blanks around them."""
        joined = "\n".join(cells)
        shaped = joined.translate(_DIGITS).split("\n")
        if len(shaped) != len(cells):  # some contain line ends
            shaped = [cell.translate(_DIGITS) for cell in cells]
        found = Counter(shaped)
        missing = {s for s in found if "9" not in s and len(s) <= 11 and numbers.is_missing(s)}
        if missing:
            pairs = [(c, s) for c, s in zip(cells, shaped, strict=True) if s not in missing]
            cells, shaped = [c for c, _ in pairs], [s for _, s in pairs]
            joined = "\n".join(cells)
        self.filled += len(cells)
        for shape, count in found.items():
            if shape not in missing:
                self._count(shape, count, shaped, cells)
        if self.distinct is not None:
            self.distinct.update(dict.fromkeys(cells))
            if len(self.distinct) > self._distinct_max:
                self.distinct = None
        if cells:
            self._note_numbers(cells, joined)

    @property
    def example(self) -> str | None:
        """The first cell."""
        return next((next(iter(shape.examples)) for shape in self.shapes.values()), None)

    def share(self, is_kind: object) -> float:
        """The share of cells whose shape `is_kind` accepts, by an example."""
        if not self.filled or not callable(is_kind):
            return 0.0
        good = sum(s.count for s in self.shapes.values() if all(map(is_kind, s.examples)))
        return good / self.filled

    def cells(self) -> list[str]:
        """Examples of all shapes."""
        return [cell for shape in self.shapes.values() for cell in shape.examples]

    def _count(self, text: str, count: int, shaped: list[str], cells: list[str]) -> None:
        shape = self.shapes.get(text)
        if shape is None:
            if len(self.shapes) >= SHAPES_MAX:
                self.other += count
                return
            shape = self.shapes[text] = Shape()
        shape.count += count
        if len(shape.examples) < _EXAMPLES:
            same = (c for c, s in zip(cells, shaped, strict=True) if s == text)
            shape.examples.update(dict.fromkeys(islice(same, _EXAMPLES - len(shape.examples))))
        if shape.count == count:
            self._has_dates |= _SHORT_DATE.match(text) is not None
            self._has_threes |= _THREE_DECIMALS.search(text) is not None

    def _note_numbers(self, cells: list[str], joined: str) -> None:
        if self._has_dates and len(self.triples) < TRIPLES_MAX:
            self.triples |= times.triples(joined)
        if self._has_threes:
            self.proofs.update(match[1] for match in _DECIMAL_ZERO.finditer(joined))
        try:
            values = list(map(float, cells))
        except ValueError:
            self.counts_up = self.never_decreases = False
            self._note_extremes(_floats(cells, joined))
            return
        if self.never_decreases:
            self.never_decreases = self._last <= values[0] and values == sorted(values)
            self._last = values[-1]
        self._note_extremes(values)
        if self.counts_up:
            first = values[0]
            self.counts_up = first in (self.next, first if self.next is None else self.next) and (
                all(value == first + n for n, value in enumerate(values))
            )
            self.next = values[-1] + 1

    def _note_extremes(self, values: list[float]) -> None:
        low, high = min(values, default=inf), max(values, default=-inf)
        self.low, self.high = min(self.low, low), max(self.high, high)
        if low in LOW_SENTINELS or high in HIGH_SENTINELS:
            rest = [v for v in values if v not in LOW_SENTINELS and v not in HIGH_SENTINELS]
            low, high = min(rest, default=inf), max(rest, default=-inf)
        self.rest_low, self.rest_high = min(self.rest_low, low), max(self.rest_high, high)


class Evidence:
    """The columns of a file, the number of its rows, its first rows (`head`), and some rows of it, evenly spread (`sample`)."""

    def __init__(self, columns: Iterable[str], missing: frozenset[str] = frozenset()) -> None:
        self.columns = {name: Column(name) for name in columns}
        self.rows = 0
        self.malformed = 0
        self.sample: list[list[str]] = []
        self._missing = missing
        self._kept: dict[int, list[str]] = {}
        self._limit = _HASH_MAX
        self._index: dict[str, int] | None = None
        self.head: list[list[str]] = []

    def add_all(self, records: Iterable[Record], columns: dict[str, int] | None = None) -> None:
        """Add records; `columns` grows while NDJSON is read."""
        self._index = columns
        chunk: list[list[str]] = []
        for record in records:
            if record.cells is None:
                self.malformed += 1
                continue
            chunk.append(record.cells)
            if len(chunk) == _CHUNK_ROWS:
                self._add(chunk)
                chunk = []
        if chunk:
            self._add(chunk)
        width = len(self.columns)
        self.head = [row + [""] * (width - len(row)) for row in self.head]
        self.sample = [row + [""] * (width - len(row)) for row in self._kept.values()]

    def position(self, column: str) -> int:
        """The index of a column in a record."""
        return list(self.columns).index(column)

    def _add(self, chunk: list[list[str]]) -> None:
        if self._index is not None:
            for name in islice(self._index, len(self.columns), None):
                self.columns[name] = Column(name)
            width = len(self.columns)
            chunk = [row + [""] * (width - len(row)) if len(row) < width else row for row in chunk]
        for column, cells in zip(self.columns.values(), zip(*chunk, strict=True), strict=True):
            column.add(self._bare(cells))
        if not self.rows:
            self.head = [[cell[:_CELL_MAX] for cell in row] for row in chunk[:_HEAD_ROWS]]
        first, limit = self.rows, self._limit
        for at in [n for n in range(len(chunk)) if (first + n) * _GOLDEN & _HASH_MAX <= limit]:
            self._kept[first + at] = [cell[:_CELL_MAX] for cell in chunk[at]]
        while len(self._kept) > ROWS_KEPT_MAX:
            self._limit >>= 1
            self._kept = {
                n: row for n, row in self._kept.items() if n * _GOLDEN & _HASH_MAX <= self._limit
            }
        self.rows += len(chunk)

    def _bare(self, cells: tuple[str, ...]) -> list[str]:
        """Cells without blanks around them, cut, and without those of `--missing`."""
        found = list(map(str.strip, cells))
        if max(map(len, found)) > _CELL_MAX:
            found = [cell[:_CELL_MAX] for cell in found]
        return [c for c in found if c not in self._missing] if self._missing else found


def _floats(cells: list[str], joined: str) -> list[float]:
    """The numbers among cells with decimal commas, units or words."""
    if "," in joined and "." not in joined:
        with contextlib.suppress(ValueError):
            return [float(cell.replace(",", ".")) for cell in cells]
    if all(_number(cell) is None for cell in cells[::_STEP]):
        return []
    return [value for value in map(_number, dict.fromkeys(cells)) if value is not None]


def _number(cell: str) -> float | None:
    try:
        return numbers.parse(cell).value
    except ValueError:
        return None
