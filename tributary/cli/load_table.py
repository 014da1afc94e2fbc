"""The plans of `tributary load` as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tributary.cli import terminal
from tributary.load import Source, cell, name, text
from tributary.load.plan import Column, Plan, TimeColumn
from tributary.model import reading


def show(out: Console, sources: list[Source]) -> None:
    """Print the plan of each file; files with the same plan share a table."""
    for _, group in groupby(sources, key=lambda source: source.plan.essence):
        alike = list(group)
        _show(out, alike[0], len(alike) - 1)


def _show(out: Console, source: Source, more: int) -> None:
    plan = source.plan
    heading = Text.assemble((terminal.printable(str(source.path)), "bold"))
    if more:
        heading.append(f" and {more} more with the same plan")
    heading.append(f"   {plan.form.name}")
    if plan.form.delimiter:
        named = {"\t": "tabs"}.get(plan.form.delimiter, repr(plan.form.delimiter))
        heading.append(f", columns by {named}")
    out.print(heading, soft_wrap=True)
    out.print(_table(plan))
    notes = Table.grid(padding=(0, 2))
    for label, note in _notes(plan):
        notes.add_row(label, terminal.plain(note), style="dim")
    out.print(notes)
    out.print()


def _table(plan: Plan) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("column", "becomes", "for example"):
        table.add_column(heading, overflow="fold")
    if plan.device is not None:
        device = plan.device
        table.add_row(*_cells(device.name, "device", str(device.example)), style="cyan")
    if plan.time is not None:
        table.add_row(*_cells(plan.time.name, "recorded_at", _time(plan.time)), style="cyan")
    for column in plan.metrics:
        if column.example is not None:
            table.add_row(*_cells(column.name, column.metric, _number(column)))
    return table


def _cells(*cells: str) -> Iterable[Text]:
    return map(terminal.plain, cells)


def _number(column: Column) -> str:
    """The first cell of a column as a number, with its unit."""
    try:
        value = cell.number(column.example, column.mark).value
    except ValueError as error:
        return str(error)
    written = str(column.example)
    unit = "s" if column.unit == text.CLOCK else column.unit or name.unit(column.name)
    read = f"{value:.15g} {unit}".strip()
    return read if written in (read, f"{value:.15g}") else f"{written} → {read}"


def _time(time: TimeColumn) -> str:
    try:
        return reading.rfc3339(cell.time_ms(time.example, time.format, time.mark))
    except ValueError as error:
        return str(error)


def _notes(plan: Plan) -> Iterator[tuple[str, str]]:
    left_out: dict[str, list[str]] = {}
    for column in plan.columns:
        if column.left_out:
            left_out.setdefault(column.left_out, []).append(column.name)
    for why, names in left_out.items():
        yield "left out", f"{', '.join(names)}: {why}"
    empty = [column.name for column in plan.metrics if column.example is None]
    if empty:
        yield "empty", f"{', '.join(empty)}: in the first rows"
    if plan.device is None:
        yield "device", f"{reading.DEFAULT_DEVICE}, because no column contains it (--device-column)"
    yield "time", _time_note(plan.time)


def _time_note(time: TimeColumn | None) -> str:
    if time is None:
        return "that of arrival, because no column contains it (--time-column)"
    notes = [f"{time.example} is parsed as {time.format.name}"]
    if isinstance(time.example, str) and not text.has_zone(time.example, time.format):
        notes.append("without a zone, assumed to be UTC")
    if time.distinct == 1:
        notes.append("the same in all of the first rows, so the last in the file counts as newest")
    return "; ".join(notes)
