"""Parses lines into records: cells by column, with the line number.

Lines are bytes that are counted and hashed as they are read, so after every record the exact
part of the file that has been read is known.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from tributary.errors import Misconfigured
from tributary.load import text
from tributary.load.cell import Cell, kind

_DELIMITERS = (";", ",", "\t", "|")
_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class Form(NamedTuple):
    """The format of records; NDJSON has neither delimiter nor columns."""

    name: str
    delimiter: str = ""
    columns: tuple[str, ...] = ()


class Record(NamedTuple):
    """A record and its first line; without cells it is malformed, and `error` is the reason."""

    line: int
    cells: dict[str, Cell] | None
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
    ) -> None:
        self.offset_bytes = offset_bytes
        self.number = number
        self.digest = hashlib.sha256() if digest is None else digest.copy()
        self._lines = iter(lines)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = next(self._lines)
        self.offset_bytes += len(line)
        self.number += 1
        self.digest.update(line)
        return line


def form_of(head: list[bytes], delimiter: str | None = None) -> Form:
    """Detect the format of a file from its first lines.

    Raises:
        Misconfigured: it contains no records, or none that can be read.
    """
    if head and head[0].startswith(_UTF_16):
        raise Misconfigured("the file is UTF-16; save it as UTF-8")
    first = next((line for line in _texts(head) if line.strip()), "")
    if not first:
        raise Misconfigured("the file is empty; it needs a line of column names and rows below")
    if first.lstrip().startswith("{"):
        return Form("NDJSON")
    if first.lstrip().startswith("["):
        raise Misconfigured("the file is a JSON array; write one object per line (jq -c '.[]')")
    found = delimiter or _detect_delimiter(head)
    try:
        columns = _unique(next(row for row in csv.reader(_texts(head), delimiter=found) if row))
    except csv.Error as error:
        raise Misconfigured(f"the first line cannot be read: {error}") from None
    if any(_is_number(name) for name in columns):
        raise Misconfigured(f"the first line, {first.strip()!r:.60}, is not a line of column names")
    return Form("CSV", found, columns)


def records(lines: Lines, form: Form) -> Iterator[Record]:
    """The records of a file from the position of `lines`; empty ones are skipped."""
    return _objects(lines) if form.name == "NDJSON" else _rows(lines, form)


def _rows(lines: Lines, form: Form) -> Iterator[Record]:
    skips_header = lines.offset_bytes == 0
    rows = csv.reader(_texts(lines), delimiter=form.delimiter)
    while True:
        line = lines.number + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Record(line, None, f"not CSV: {error}")
            continue
        if not any(cell and not cell.isspace() for cell in row):
            continue
        if skips_header:
            skips_header = False
            continue
        yield _record(line, row, form.columns)


def _record(line: int, row: list[str], columns: tuple[str, ...]) -> Record:
    while len(row) > len(columns) and not row[-1].strip():
        row.pop()
    if len(row) != len(columns):
        return Record(line, None, f"{len(row)} cells in a row of {len(columns)} columns")
    return Record(line, dict(zip(columns, row, strict=True)))


def _objects(lines: Lines) -> Iterator[Record]:
    for line in lines:
        written = line.removeprefix(_BOM).strip() if lines.number == 1 else line.strip()
        if written:
            yield _object(lines.number, written)


def _object(line: int, written: bytes) -> Record:
    try:
        value = msgspec.json.decode(written)
        if isinstance(value, dict):
            return Record(line, dict(_flat(value)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Record(line, None, f"not JSON: {error}")
    return Record(line, None, f"{kind(value)} instead of an object")


def _flat(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Cell]]:
    """Flatten nested objects: `{"a": {"b": 1}}` → `a.b`."""
    for name, member in value.items():
        if isinstance(member, dict):
            yield from _flat(member, f"{prefix}{name}.")
        else:
            yield prefix + name, member


def _detect_delimiter(head: list[bytes]) -> str:
    """The delimiter that splits the first line, and most others into as many cells."""

    def score(delimiter: str) -> tuple[float, int]:
        widths = list(map(len, _parsed(head, delimiter)))
        if not widths or widths[0] == 1:
            return (0.0, 0)
        return (widths.count(widths[0]) / len(widths), widths[0])

    return max(_DELIMITERS, key=score)


def _parsed(head: list[bytes], delimiter: str) -> Iterator[list[str]]:
    """The rows that can be parsed with this delimiter."""
    rows = csv.reader(_texts(head), delimiter=delimiter)
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error:
            continue
        if row:
            yield row


def _texts(lines: Iterable[bytes]) -> Iterator[str]:
    return (_text(line if number else line.removeprefix(_BOM)) for number, line in enumerate(lines))


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("cp1252", "replace")  # the usual encoding of spreadsheets before UTF-8


def _unique(names: list[str]) -> tuple[str, ...]:
    """Unique column names; a column without one, or with a duplicate, gets its number."""
    seen: list[str] = []
    for number, name in enumerate(names, 1):
        bare = name.strip()
        seen.append(bare if bare and bare not in seen else f"{bare or 'column'}_{number}")
    return tuple(seen)


def _is_number(name: str) -> bool:
    try:
        text.number(name)
    except ValueError:
        return False
    return True
