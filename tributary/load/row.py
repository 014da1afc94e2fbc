"""Converts records to readings by a plan, or to the reason for skipping them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from tributary.load import cell, guess
from tributary.load.cell import Cell
from tributary.load.file_records import Record
from tributary.load.plan import Column, Plan, TimeColumn
from tributary.model import reading

_CELLS_KEPT = 1 << 14  # per column

_Number = Callable[[Cell], float | str | None]


class Row(NamedTuple):
    """A reading, or the reason why a record has none.

    `warnings` are about cells that could not be read and are left out of the reading.
    """

    line: int
    reading: dict[str, Any] | None
    reason: str = ""
    warnings: tuple[str, ...] = ()


class Reader:
    """Converts records by a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._device = plan.device.name if plan.device else None
        self._time = plan.time.name if plan.time else None
        self._metrics = {c.name: (c.metric, _cached(_number, c)) for c in plan.metrics}
        self._time_ms = _cached(_time_ms, plan.time) if plan.time else None
        self._skipped = {column.name for column in plan.columns if not column.metric}
        self._skipped |= {name for name in (self._device, self._time) if name is not None}

    def read(self, record: Record) -> Row:
        """The reading of a record, in the format of `POST /record`; `recorded_at` in ms."""
        if record.cells is None:
            return Row(record.line, None, record.error)
        whole: dict[str, Any] = {}
        try:
            if self._device is not None:
                whole["device"] = _device(record.cells.get(self._device))
            if self._time_ms is not None:
                whole["recorded_at"] = self._time_ms(record.cells.get(str(self._time)))
        except ValueError as error:
            return Row(record.line, None, str(error))
        metrics, warnings = self._measured(record.cells)
        if not metrics:
            return Row(record.line, None, "; ".join(warnings) or "the row contains no numbers")
        if len(metrics) > reading.METRICS_MAX:
            return Row(record.line, None, f"more than {reading.METRICS_MAX} numbers in the row")
        whole.update(metrics)
        return Row(record.line, whole, "", tuple(warnings))

    def _measured(self, cells: dict[str, Cell]) -> tuple[dict[str, float], list[str]]:
        metrics: dict[str, float] = {}
        warnings = []
        for name, value in cells.items():
            if name in self._skipped:
                continue
            metric, number = self._metrics.get(name) or self._later(name, value)
            found = number(value)
            if type(found) is float:
                metrics[metric] = found
            elif found is not None:
                warnings.append(f"{name}: {found}")
        return metrics, warnings

    def _later(self, name: str, value: Cell) -> tuple[str, _Number]:
        """How to read a column that was not in the sample; a column without numbers is skipped."""
        column = guess.later_column(self._plan, name)
        number = _cached(_number, column)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if column.metric and is_number:
            self._metrics[name] = (column.metric, number)
            return column.metric, number
        if not cell.is_missing(value):
            self._skipped.add(name)
        return "", _nothing


def _cached(function: Callable[[Cell, Any], Any], column: Any) -> Callable[[Cell], Any]:
    """`function` for the cells of a column; repeated text is parsed once."""

    def read(value: Cell) -> Any:
        return function(value, column)

    of_text = lru_cache(_CELLS_KEPT)(read)
    return lambda value: of_text(value) if isinstance(value, str) else read(value)


def _nothing(_: Cell) -> None:
    return None


def _device(value: Cell) -> str:
    device = str(value).strip() if isinstance(value, str | int) else ""
    if not reading.is_device(device):
        raise ValueError(f"device {value!r:.60} is not a valid name; use {reading.DEVICE_RULE}")
    return device


def _time_ms(value: Cell, column: TimeColumn) -> int:
    if cell.is_missing(value):
        raise ValueError(f"{column.name} is empty")
    try:
        return cell.time_ms(value, column.format, column.mark)
    except ValueError as error:
        raise ValueError(f"{column.name}: {error}") from None


def _number(value: Cell, column: Column) -> float | str | None:
    """A cell as a number; None if it is missing; a message if it is not like the others."""
    if cell.is_missing(value):
        return None
    try:
        found = cell.number(value, column.mark)
    except ValueError as error:
        return str(error)
    if found.unit and column.unit and found.unit != column.unit:
        return f"{value!r:.60} is not in {column.unit} like the others"
    return found.value
