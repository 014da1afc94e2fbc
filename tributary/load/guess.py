"""Makes the plan for a file from its first records and the overrides of the user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from itertools import pairwise

from tributary.errors import Misconfigured, did_you_mean
from tributary.load import cell, name, text
from tributary.load.cell import Cell
from tributary.load.file_records import Form, Record
from tributary.load.plan import Column, DeviceColumn, Overrides, Plan, TimeColumn
from tributary.load.sample import Sample
from tributary.model import reading

_EPOCH_MIN = 1e8  # smaller numbers count from some start, not from 1970
_TIMES_CHECKED_MAX = 200


def plan(form: Form, records: list[Record], overrides: Overrides) -> Plan:
    """The plan for a file of this form that begins with these records.

    Raises:
        Misconfigured: an override names a column that does not exist, or cannot be applied.
    """
    sample = Sample(form, records, overrides.decimal)
    _check(sample, overrides)
    mapped = {column for column, metric in overrides.names.items() if metric}
    device = _device(sample, overrides.device_column, mapped)
    time = _time(sample, overrides.time_column, mapped | ({device.name} if device else set()))
    taken = {column.name for column in (device, time) if column is not None}
    found = {
        column: _column(form, sample, overrides, column)
        for column in sample.cells
        if column not in taken
    }
    return Plan(form, device, time, _without_conflicts(found, overrides))


def later_column(plan: Plan, column: str) -> Column:
    """The plan for a column that was not in the sample; NDJSON can have such."""
    metric = _metric(plan.form, column)
    if metric in {other.metric for other in plan.columns}:
        return Column(column, left_out=f"{metric} is the metric of another column")
    return Column(column, metric)


def _check(sample: Sample, overrides: Overrides) -> None:
    named = [
        ("--device-column", overrides.device_column),
        ("--time-column", overrides.time_column),
        *(("--map", column) for column in overrides.names),
    ]
    for option, column in named:
        if column is not None and column not in sample.cells:
            remedy = did_you_mean(column, sample.cells) or "the file has no columns"
            raise Misconfigured(f"{option} {column}: no such column; {remedy}")
    for column, metric in overrides.names.items():
        if metric and not reading.is_metric(metric):
            raise Misconfigured(
                f"--map {column}={metric}: not a valid metric name; use {reading.METRIC_RULE}"
            )


def _device(sample: Sample, override: str | None, mapped: Collection[str]) -> DeviceColumn | None:
    if override is not None:
        return DeviceColumn(override, sample.example(override))
    ranked = [
        (rank, column)
        for column, cells in sample.cells.items()
        if cells and column not in mapped and (rank := name.device_rank(column)) is not None
    ]
    return DeviceColumn(min(ranked)[1], sample.example(min(ranked)[1])) if ranked else None


def _time(sample: Sample, override: str | None, taken: Collection[str]) -> TimeColumn | None:
    if override is not None:
        found = _as_time(sample, override, epoch_min=0.0)
        if found is None:
            raise Misconfigured(
                f"--time-column {override}: {sample.example(override)!r:.60} is not a valid time"
            )
        return found
    ranked = [(rank, c) for c in sample.cells if (rank := name.time_rank(c)) is not None]
    for _, column in sorted(ranked):
        if column not in taken and (found := _as_time(sample, column, _EPOCH_MIN)):
            return found
    return None


def _as_time(sample: Sample, column: str, epoch_min: float) -> TimeColumn | None:
    cells, mark = sample.cells[column], sample.mark(column)
    checked = cells[:_TIMES_CHECKED_MAX]
    for form in text.FORMATS:
        good = sum(_is_time(value, form, mark, epoch_min) for value in checked)
        if good and good * 10 >= len(checked) * 9:
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


def _column(form: Form, sample: Sample, overrides: Overrides, column: str) -> Column:
    cells, mark = sample.cells[column], sample.mark(column)
    numbers = _numbers(cells, mark)
    units = Counter(number.unit for number in numbers)
    unit = units.most_common(1)[0][0] if units else ""
    example = sample.example(column)
    override = overrides.names.get(column)
    if override is not None:
        left_out = "" if override else "by --map"
        return Column(column, override, mark, unit, example, left_out)
    why = _why_not(column, cells, [number.value for number in numbers])
    metric = "" if why else _metric(form, column)
    return Column(column, metric, mark, unit, example, why or ("" if metric else "has no name"))


def _why_not(column: str, cells: list[Cell], numbers: list[float]) -> str:
    """Why a column does not contain measurements, or nothing."""
    if name.is_code(column):
        return "codes, not measurements"
    if name.time_rank(column) is not None:
        return "not a valid date"
    if len(numbers) * 2 < len(cells):
        return "text"
    if name.is_row_number(column) and _counts_up(numbers):
        return "numbers the rows"
    bound = name.bound(column)
    if bound is not None and sum(abs(value) > bound for value in numbers) * 2 > len(numbers):
        return "not in degrees: its decimal marks are missing"
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
    """The metric of a column; valid names in NDJSON are kept as they are."""
    if form.name == "NDJSON" and reading.is_metric(column):
        return column
    return name.metric(column)


def _without_conflicts(found: dict[str, Column], overrides: Overrides) -> tuple[Column, ...]:
    """Columns with unique metrics: mapped columns come first, then columns with that very name."""
    taken: set[str] = set()
    claims = sorted(
        found, key=lambda c: (c not in overrides.names, found[c].metric != name.plain(c))
    )
    for column in claims:
        metric = found[column].metric
        if metric in taken:
            found[column] = Column(
                column, left_out=f"{metric} is the metric of another column; use --map"
            )
        elif metric and len(taken) == reading.METRICS_MAX:
            found[column] = Column(column, left_out=f"beyond {reading.METRICS_MAX} metrics")
        elif metric:
            taken.add(metric)
    return tuple(found.values())
