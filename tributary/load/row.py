"""Converts records to readings by a plan, or to the reason for skipping them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import inf
from typing import Any, NamedTuple

from tributary.load import names, numbers, time_reader, vocabulary
from tributary.load.plan import Column, Long, Plan
from tributary.load.table import Record
from tributary.model import reading, units
from tributary.model.units import SAME, Conversion

_CELLS_KEPT = 1 << 12  # per column
_DIGITS = 9  # of converted values, after the decimal mark

_Number = Callable[[str], "float | str | None"]


class Row(NamedTuple):
    """A reading, or the reason why a record has none; without a reason it has no values.

    `warnings` are about cells that could not be read and are left out of the reading.
    """

    line: int
    reading: dict[str, Any] | None
    reason: str = ""
    warnings: tuple[str, ...] = ()


class Reader:
    """Converts records by a plan."""

    def __init__(self, plan: Plan) -> None:
        columns = plan.form.columns
        self._plan = plan
        self._device_at = columns.index(plan.device.column) if plan.device.column else None
        self._time_ms = time_reader.compiled(plan.time, columns) if plan.time else None
        wide = [c for c in plan.metrics if plan.long is None or c.name != plan.long.value]
        self._unit_at = columns.index(plan.unit_column) if plan.unit_column else None
        self._numbers = [(columns.index(c.name), c.metric, _reader(c, plan.missing)) for c in wide]
        self._wide = wide
        self._long = _LongReader(plan.long, plan) if plan.long else None

    def read(self, record: Record) -> Row:
        """The reading of a record, in the format of `POST /record`; `recorded_at` in ms."""
        cells = record.cells
        if cells is None:
            return Row(record.line, None, record.error)
        whole: dict[str, Any] = {}
        try:
            whole["device"] = self._device(cells)
            if self._time_ms is not None:
                whole["recorded_at"] = recorded_at = self._time_ms(cells)
                if recorded_at < self._plan.oldest_ms:
                    return Row(record.line, None, self._too_old(recorded_at))
        except ValueError as error:
            return Row(record.line, None, str(error))
        found = len(whole)
        warnings = self._measure(cells, whole)
        if len(whole) == found:
            return Row(record.line, None, "; ".join(warnings))
        return Row(record.line, whole, "", tuple(warnings))

    def _device(self, cells: list[str]) -> str:
        if self._device_at is None:
            return self._plan.device.name
        written = cells[self._device_at].strip()
        device = self._plan.device.renamed.get(written, written)
        if not reading.is_device(device):
            raise ValueError(
                f"device {written!r:.60} is not a valid name; use {reading.DEVICE_RULE}"
            )
        return device

    def _measure(self, cells: list[str], whole: dict[str, Any]) -> list[str]:
        """Add the metrics of a row to a reading; what could not be read."""
        warnings = []
        if self._unit_at is not None:
            column = self._wide[0]
            found = _with_unit(cells[self._unit_at], column, self._plan.missing)
            metrics = [(self._numbers[0][0], column.metric, found), *self._numbers[1:]]
        else:
            metrics = self._numbers
        for index, metric, number in metrics:
            value = number(cells[index])
            if type(value) is float:
                whole[metric] = value
            elif value is not None:
                warnings.append(f"{self._plan.form.columns[index]}: {value}")
        if self._long is not None:
            warnings += self._long.add(cells, whole)
        return warnings

    def _too_old(self, recorded_at: int) -> str:
        limit = reading.rfc3339(self._plan.oldest_ms)[:10]
        return f"{reading.rfc3339(recorded_at)} is before {limit}: the clock was not set"


class _LongReader:
    """Reads the value of the quantity of a row."""

    def __init__(self, long: Long, plan: Plan) -> None:
        columns = plan.form.columns
        self._metrics, self._missing = long.metrics, plan.missing
        self._quantity_at = columns.index(long.quantity)
        self._value_at = columns.index(long.value)
        self._unit_at = columns.index(long.unit) if long.unit else None

    def add(self, cells: list[str], whole: dict[str, Any]) -> list[str]:
        column = self._metrics.get(cells[self._quantity_at].strip())
        if column is None:
            return []
        unit = cells[self._unit_at] if self._unit_at is not None else ""
        value = _with_unit(unit, column, self._missing)(cells[self._value_at])
        if type(value) is float:
            whole[column.metric] = value
            return []
        return [] if value is None else [f"{column.name}: {value}"]


@lru_cache(1 << 10)
def _with_unit_cached(unit: str, column: Column, missing: frozenset[str]) -> _Number:
    loose = column._replace(is_boolean=True)
    stated = unit.strip().strip("()[]")
    if not stated or stated == column.unit or numbers.is_missing(stated):
        return _reader(loose, missing, is_loose=True)
    given, stored = units.parse(stated), units.parse(column.stored)
    conversion = units.conversion(given, stored) if given and stored else None
    if conversion is None:
        wanted = column.stored or "none"
        return lambda _: f"its unit is {stated!r:.20}, that of the others is {wanted}"
    return _reader(loose._replace(unit=stated, conversion=conversion), missing, is_loose=True)


def _with_unit(unit: str, column: Column, missing: frozenset[str]) -> _Number:
    """The reader of a column whose unit is in another cell of the row."""
    return _with_unit_cached(unit, column._replace(example=None), missing)


def _reader(column: Column, missing: frozenset[str], *, is_loose: bool = False) -> _Number:
    """A function from a cell to its number, None if it is missing, or why it cannot be read."""
    conversion, mark = column.conversion, column.mark
    is_same = conversion is SAME
    loose = is_loose or names.rank(column.name, vocabulary.VALUES) is not None

    @lru_cache(_CELLS_KEPT)
    def slow(cell: str) -> float | str | None:
        return _number(cell, column, missing, loose)

    def read(cell: str) -> float | str | None:
        try:
            value = float(cell if mark == "." else _pointed(cell))
        except ValueError:
            return slow(cell)
        if "_" in cell or not -inf < value < inf or (missing and cell.strip() in missing):
            return slow(cell)
        return value if is_same else converted(value, conversion)

    return read


def converted(value: float, conversion: Conversion) -> float:
    """A converted value without the noise of floating point."""
    return round(conversion.value(value), _DIGITS)


def number_of(cell: str, column: Column) -> float | str | None:
    """A cell of a column as its number, None if it is missing, or why it cannot be read."""
    return _reader(column, frozenset())(cell)


def _pointed(cell: str) -> str:
    """A cell with a decimal comma as Python writes it; other notations are not numbers."""
    return "" if "." in cell else cell.replace(",", ".")


def _number(
    cell: str,
    column: Column,
    missing: frozenset[str],
    is_loose: bool,  # noqa: FBT001 (cached)
) -> float | str | None:
    if numbers.is_missing(cell) or cell.strip() in missing:
        return None
    try:
        found = numbers.parse(cell, column.mark)
    except ValueError as error:
        word = numbers.boolean(cell) if column.is_boolean else None
        return word if word is not None or is_loose else str(error)
    conversion: Conversion | None = column.conversion
    if found.unit and found.unit != column.unit:
        given, stored = units.parse(found.unit), units.parse(column.stored)
        conversion = units.conversion(given, stored) if given and stored else None
    if conversion is None:
        expected = f"in {column.stored} like the others" if column.stored else "a number"
        return f"{cell!r:.60} is not {expected}"
    return found.value if conversion is SAME else converted(found.value, conversion)
