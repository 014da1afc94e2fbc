"""Records → readings by a plan, or the reasons why not."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from tributary.load import cell, guess
from tributary.load.cell import Cell
from tributary.load.file_records import Record
from tributary.load.plan import Column, Plan, TimeColumn
from tributary.model import reading

_CELLS_KEPT = 1 << 14  # of each column

_Number = Callable[[Cell], float | str | None]


class Row(NamedTuple):
    """What became of a record: a reading, or the reason why there is none.

    `faults` are cells that could not be read and are left out of the reading.
    """

    line: int
    reading: dict[str, Any] | None
    reason: str = ""
    faults: tuple[str, ...] = ()


class Reader:
    """Reads records by a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._device = plan.device.name if plan.device else None
        self._time = plan.time.name if plan.time else None
        self._metrics = {c.name: (c.metric, _cached(_number, c)) for c in plan.metrics}
        self._time_ms = _cached(_time_ms, plan.time) if plan.time else None
        self._passed_over = {column.name for column in plan.columns if not column.metric}
        self._passed_over |= {name for name in (self._device, self._time) if name is not None}

    def read(self, record: Record) -> Row:
        """The reading of a record, as `POST /record` takes it; `recorded_at` in ms."""
        if record.cells is None:
            return Row(record.line, None, record.fault)
        whole: dict[str, Any] = {}
        try:
            if self._device is not None:
                whole["device"] = _device(record.cells.get(self._device))
            if self._time_ms is not None:
                whole["recorded_at"] = self._time_ms(record.cells.get(str(self._time)))
        except ValueError as error:
            return Row(record.line, None, str(error))
        metrics, faults = self._measured(record.cells)
        if not metrics:
            return Row(record.line, None, "; ".join(faults) or "there is no number in it")
        if len(metrics) > reading.METRICS_MAX:
            return Row(record.line, None, f"more than {reading.METRICS_MAX} numbers in it")
        whole.update(metrics)
        return Row(record.line, whole, "", tuple(faults))

    def _measured(self, cells: dict[str, Cell]) -> tuple[dict[str, float], list[str]]:
        metrics: dict[str, float] = {}
        faults = []
        for name, value in cells.items():
            if name in self._passed_over:
                continue
            metric, number = self._metrics.get(name) or self._later(name, value)
            found = number(value)
            if type(found) is float:
                metrics[metric] = found
            elif found is not None:
                faults.append(f"{name}: {found}")
        return metrics, faults

    def _later(self, name: str, value: Cell) -> tuple[str, _Number]:
        """How to read a column the sample did not show; what is no number is passed over."""
        column = guess.later_column(self._plan, name)
        number = _cached(_number, column)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if column.metric and is_number:
            self._metrics[name] = (column.metric, number)
            return column.metric, number
        if not cell.is_missing(value):
            self._passed_over.add(name)
        return "", _nothing


def _cached(function: Callable[[Cell, Any], Any], column: Any) -> Callable[[Cell], Any]:
    """`function` of the cells of a column; text that repeats is parsed once."""

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
    """A cell as a number; None if it is missing; in words if it is not like the others."""
    if cell.is_missing(value):
        return None
    try:
        found = cell.number(value, column.mark)
    except ValueError as error:
        return str(error)
    if found.unit and column.unit and found.unit != column.unit:
        return f"{value!r:.60} is not in {column.unit} like the others"
    return found.value
