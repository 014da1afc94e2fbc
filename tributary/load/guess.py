"""The plan for a file, guessed from its first records unless the user has said otherwise."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection
from itertools import pairwise

from tributary.errors import Misconfigured
from tributary.load import cell, name, text
from tributary.load.cell import Cell
from tributary.load.file_records import Form, Record
from tributary.load.plan import Column, DeviceColumn, Plan, TimeColumn, Wishes
from tributary.load.sample import Sample
from tributary.model import reading

_EPOCH_MIN = 1e8  # smaller numbers count from the start of something, not from 1970
_TIMES_LOOKED_AT = 200


def plan(form: Form, records: list[Record], wishes: Wishes) -> Plan:
    """The plan for a file of this form that begins with these records.

    Raises:
        Misconfigured: a wish names a column that is not there, or cannot be fulfilled.
    """
    sample = Sample(form, records, wishes.decimal)
    _check(sample, wishes)
    mapped = {column for column, metric in wishes.names.items() if metric}
    device = _device(sample, wishes.device_column, mapped)
    time = _time(sample, wishes.time_column, mapped | ({device.name} if device else set()))
    taken = {column.name for column in (device, time) if column is not None}
    found = {
        column: _column(form, sample, wishes, column)
        for column in sample.cells
        if column not in taken
    }
    return Plan(form, device, time, _without_conflicts(found, wishes))


def later_column(plan: Plan, column: str) -> Column:
    """The plan for a column that the sample did not show; NDJSON has such."""
    metric = _metric(plan.form, column)
    if metric in {other.metric for other in plan.columns}:
        return Column(column, left_out=f"{metric} is another column's")
    return Column(column, metric)


def _check(sample: Sample, wishes: Wishes) -> None:
    wished = [
        ("--device-column", wishes.device_column),
        ("--time-column", wishes.time_column),
        *(("--map", column) for column in wishes.names),
    ]
    for option, column in wished:
        if column is not None and column not in sample.cells:
            near = difflib.get_close_matches(column, sample.cells, n=1, cutoff=0)
            remedy = f"did you mean {near[0]}?" if near else "it has no columns"
            raise Misconfigured(f"{option} {column}: there is no such column; {remedy}")
    for column, metric in wishes.names.items():
        if metric and not reading.is_metric(metric):
            raise Misconfigured(
                f"--map {column}={metric}: not a name of a metric; use {reading.METRIC_RULE}"
            )


def _device(sample: Sample, wish: str | None, mapped: Collection[str]) -> DeviceColumn | None:
    if wish is not None:
        return DeviceColumn(wish, sample.example(wish))
    ranked = [
        (rank, column)
        for column, cells in sample.cells.items()
        if cells and column not in mapped and (rank := name.device_rank(column)) is not None
    ]
    return DeviceColumn(min(ranked)[1], sample.example(min(ranked)[1])) if ranked else None


def _time(sample: Sample, wish: str | None, taken: Collection[str]) -> TimeColumn | None:
    if wish is not None:
        found = _as_time(sample, wish, epoch_min=0.0)
        if found is None:
            raise Misconfigured(f"--time-column {wish}: {sample.example(wish)!r:.60} is no time")
        return found
    ranked = [(rank, c) for c in sample.cells if (rank := name.time_rank(c)) is not None]
    for _, column in sorted(ranked):
        if column not in taken and (found := _as_time(sample, column, _EPOCH_MIN)):
            return found
    return None


def _as_time(sample: Sample, column: str, epoch_min: float) -> TimeColumn | None:
    cells, mark = sample.cells[column], sample.mark(column)
    looked_at = cells[:_TIMES_LOOKED_AT]
    for form in text.FORMATS:
        good = sum(_is_time(value, form, mark, epoch_min) for value in looked_at)
        if good and good * 10 >= len(looked_at) * 9:
            distinct = len({str(value) for value in cells})
            return TimeColumn(column, form, mark, sample.example(column), distinct)
    return None


def _is_time(value: Cell, form: text.Format, mark: str, epoch_min: float) -> bool:
    try:
        if form == text.EPOCH and cell.number(value, mark).value < epoch_min:
            return False
        cell.time_ms(value, form, mark)
    except ValueError:
        return False
    return True


def _column(form: Form, sample: Sample, wishes: Wishes, column: str) -> Column:
    cells, mark = sample.cells[column], sample.mark(column)
    numbers = _numbers(cells, mark)
    units = Counter(number.unit for number in numbers)
    unit = units.most_common(1)[0][0] if units else ""
    example = sample.example(column)
    wished = wishes.names.get(column)
    if wished is not None:
        left_out = "" if wished else "as you said"
        return Column(column, wished, mark, unit, example, left_out)
    why = _why_not(column, cells, [number.value for number in numbers])
    metric = "" if why else _metric(form, column)
    return Column(column, metric, mark, unit, example, why or ("" if metric else "has no name"))


def _why_not(column: str, cells: list[Cell], numbers: list[float]) -> str:
    """Why a column is not one of measurements, or nothing."""
    if name.is_code(column):
        return "codes, no measurements"
    if name.time_rank(column) is not None:
        return "names no date"
    if len(numbers) * 2 < len(cells):
        return "text"
    if name.is_row_number(column) and _counts_up(numbers):
        return "numbers the rows"
    bound = name.bound(column)
    if bound is not None and sum(abs(value) > bound for value in numbers) * 2 > len(numbers):
        return "no degrees: its decimal marks are lost"
    return ""


def _numbers(cells: list[Cell], mark: str) -> list[text.Number]:
    found = []
    for value in cells:
        try:
            found.append(cell.number(value, mark))
        except ValueError:
            continue
    return found


def _counts_up(numbers: list[float]) -> bool:
    return all(later - sooner == 1 for sooner, later in pairwise(numbers))


def _metric(form: Form, column: str) -> str:
    """In NDJSON a name that is valid already was meant so."""
    if form.name == "NDJSON" and reading.is_metric(column):
        return column
    return name.metric(column)


def _without_conflicts(found: dict[str, Column], wishes: Wishes) -> tuple[Column, ...]:
    """A name wanted twice goes to the column mapped to it, then to the one that bears it."""
    taken: set[str] = set()
    claims = sorted(found, key=lambda c: (c not in wishes.names, found[c].metric != name.plain(c)))
    for column in claims:
        metric = found[column].metric
        if metric in taken:
            found[column] = Column(column, left_out=f"{metric} is another column's; use --map")
        elif metric and len(taken) == reading.METRICS_MAX:
            found[column] = Column(column, left_out=f"beyond {reading.METRICS_MAX} metrics")
        elif metric:
            taken.add(metric)
    return tuple(found.values())
