"""Parses lines into records: the cells of a row as text, by the columns of a form.

Lines are bytes that are counted and hashed as they are read, so after every record the exact
part of the file that has been read is known.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from tributary.errors import Misconfigured

COLUMNS_MAX = 4096
BLANKS = " "
_BOM = b"\xef\xbb\xbf"
_RULE_BEGINS = frozenset("-=+| (")
_RULE = re.compile(r"[\s|+:]*[-=]{3,}[-=\s|+:]*|\(\d+ rows?\)\s*")
_KINDS = {list: "an array", str: "text", int: "a number", float: "a number", bool: "true or false"}


class Form(NamedTuple):
    """The format of records.

    `first_line` lines are above the rows. `header` is the row of names as written, `units` that
    of units below it, `zone` a line above that states a zone. The delimiter " " stands for any number of blanks; NDJSON has none.
    """

    name: str
    delimiter: str = ""
    columns: tuple[str, ...] = ()
    first_line: int = 0
    header: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    comment: str = ""
    zone: str = ""


class Record(NamedTuple):
    """A record and its first line; without cells it is malformed, and `error` is the reason."""

    line: int
    cells: list[str] | None
    error: str = ""


class Lines:
    """Lines that are counted and hashed as they are read.

    `offset_bytes` and `number` are the bytes and lines read so far, `digest` is their SHA-256.
    """

    def __init__(
        self,
        lines: Iterable[bytes],
        *,
        offset_bytes: int = 0,
        number: int = 0,
        digest: Any = None,
        is_hashed: bool = True,
    ) -> None:
        self.offset_bytes = offset_bytes
        self.number = number
        self.digest = hashlib.sha256() if digest is None else digest.copy()
        self._is_hashed = is_hashed
        self._lines = iter(lines)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = next(self._lines)
        self.offset_bytes += len(line)
        self.number += 1
        if self._is_hashed:
            self.digest.update(line)
        return line


def records(lines: Lines, form: Form, columns: dict[str, int] | None = None) -> Iterator[Record]:
    """The records of a file from the position of `lines`; empty ones are skipped.

    Args:
        lines: from the beginning of the file, or from the end of a record.
        form: how they are written.
        columns: of NDJSON, column → index; new columns are added to it.
    """
    if form.name == "NDJSON":
        known = {name: index for index, name in enumerate(form.columns)}
        return _objects(lines, known if columns is None else columns)
    return _rows(lines, form)


def text_of(line: bytes) -> str:
    """A line as text."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("cp1252", "replace")  # the usual encoding of spreadsheets before UTF-8


def texts(lines: Iterable[bytes]) -> Iterator[str]:
    """Lines as text, without a byte order mark."""
    return (
        text_of(line if number else line.removeprefix(_BOM)) for number, line in enumerate(lines)
    )


def split(lines: Iterable[str], delimiter: str) -> Iterator[list[str] | csv.Error]:
    """The rows of lines, or the reason why one cannot be parsed."""
    rows = (
        (line.split() for line in lines)
        if delimiter == BLANKS
        else csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    )
    while True:
        try:
            yield next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield error


def _rows(lines: Lines, form: Form) -> Iterator[Record]:
    width, header = len(form.columns), list(form.header)
    while lines.number < form.first_line and next(lines, None) is not None:
        continue
    line = lines.number + 1
    for row in split(_data(lines, form.comment), form.delimiter):
        if isinstance(row, csv.Error):
            yield Record(line, None, f"not CSV: {row}")
        elif len(row) == width and row != header:
            if any(row) and any(cell and not cell.isspace() for cell in row):
                yield Record(line, row)
        elif row != header and any(cell and not cell.isspace() for cell in row):
            yield _fitted(line, row, width)
        line = lines.number + 1


def is_left_out(line: str, comment: str) -> bool:
    """Whether a line is a comment, or decoration: `----+----`, `|---|---|`, `(2 rows)`."""
    if comment and line.lstrip().startswith(comment):
        return True
    return line[:1] in _RULE_BEGINS and _RULE.fullmatch(line) is not None


def _data(lines: Lines, comment: str) -> Iterator[str]:
    return (line for line in texts(lines) if not is_left_out(line, comment))


def _fitted(line: int, row: list[str], width: int) -> Record:
    """A row with as many cells as there are columns; missing cells at the end are empty."""
    while len(row) > width and not row[-1].strip():
        row.pop()
    if len(row) > width:
        return Record(line, None, f"{len(row)} cells in a row of {width} columns")
    return Record(line, row + [""] * (width - len(row)))


def _objects(lines: Lines, columns: dict[str, int]) -> Iterator[Record]:
    decode = msgspec.json.Decoder().decode
    for line in lines:
        written = line.removeprefix(_BOM).strip() if lines.number == 1 else line.strip()
        if not written:
            continue
        try:
            value = decode(written)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            try:
                value = json.loads(written)  # also takes NaN and Infinity, as Python writes them
            except (ValueError, RecursionError):
                yield Record(lines.number, None, f"not JSON: {error}")
                continue
        if isinstance(value, dict):
            yield Record(lines.number, _cells(value, columns))
        else:
            what = _KINDS.get(type(value), "null")
            yield Record(lines.number, None, f"{what} instead of an object")


def _cells(value: dict[str, Any], columns: dict[str, int]) -> list[str]:
    cells = [""] * len(columns)
    for name, member in _flat(value):
        index = columns.setdefault(name, len(columns))
        if index >= COLUMNS_MAX:
            raise Misconfigured(f"more than {COLUMNS_MAX} different keys; split the file")
        if index >= len(cells):
            cells.append("")
        cells[index] = _text(member)
    return cells


def _flat(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Flatten nested objects: `{"a": {"b": 1}}` → `a.b`."""
    for name, member in value.items():
        if type(member) is dict:
            yield from _flat(member, f"{prefix}{name}.")
        else:
            yield prefix + name, member


def _text(member: Any) -> str:
    """A JSON value as a cell; numbers cannot be mistaken for numbers with another decimal mark."""
    if type(member) is str:
        return member
    if type(member) is float:
        text = repr(member)
        return text + "0" if text[-4:-3] == "." else text
    if member is None:
        return ""
    if type(member) is bool:
        return "true" if member else "false"
    return str(member) if type(member) is int else "[]"


def unique(names: Iterable[str]) -> tuple[str, ...]:
    """Unique column names; a column without one, or with a duplicate, gets its number."""
    seen: dict[str, None] = {}
    for number, written in enumerate(names, 1):
        bare = written.strip()
        name = bare if bare and bare not in seen else f"{bare or 'column'}_{number}"
        seen[name + "_" * (name in seen)] = None
    return tuple(seen)
