"""The plans of `tributary load` as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tributary.cli import terminal
from tributary.load import Source, numbers, time_reader
from tributary.load.plan import Column, Plan, Time
from tributary.load.row import number_of
from tributary.model import reading
from tributary.model.units import SAME

_HOW = {
    "epoch": "a number since 1970",
    "elapsed": "a number since --start",
    "clock": "a time since --start",
    "excel": "a day of a spreadsheet",
    "pattern": "--time-format",
}
_ORDERS = {"dmy": "day first", "mdy": "month first", "ymd": "year first"}


def show(out: Console, sources: list[Source], left_out: list[str]) -> None:
    """Print the plan of each file; files with the same plan share a table."""
    for _, group in groupby(sources, key=lambda source: source.plan.essence):
        alike = list(group)
        _show(out, alike)
    for note in left_out:
        out.print(f"left out  {terminal.printable(note)}", style="dim", soft_wrap=True)


def _show(out: Console, sources: list[Source]) -> None:
    source, plan = sources[0], sources[0].plan
    place = source.content.path / source.content.member
    heading = Text.assemble((terminal.printable(str(place)), "bold"))
    if len(sources) > 1:
        heading.append(f" and {len(sources) - 1} more with the same plan")
    heading.append(f"   {plan.form.name}")
    if plan.form.delimiter:
        named = {"\t": "tabs", " ": "blanks"}.get(plan.form.delimiter, repr(plan.form.delimiter))
        heading.append(f", columns by {named}")
    out.print(heading, soft_wrap=True)
    out.print(_table(plan))
    notes = Table.grid(padding=(0, 2))
    for label, note in _notes(sources):
        notes.add_row(label, terminal.plain(note), style="dim")
    out.print(notes)
    out.print()


def _table(plan: Plan) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("column", "becomes", "for example"):
        table.add_column(heading, overflow="fold")
    device, time = plan.device, plan.time
    if device.column is not None:
        table.add_row(*_cells(device.column, "device", device.note or device.example), style="cyan")
    if time is not None:
        table.add_row(*_cells(" + ".join(time.columns), "recorded_at", _time(time)), style="cyan")
    if plan.long is not None:
        for quantity in plan.long.metrics.values():
            unit = _unit(quantity)
            table.add_row(*_cells(f"{plan.long.quantity} = {quantity.name}", quantity.metric, unit))
    for column in plan.metrics:
        if plan.long is None or column.name != plan.long.value:
            table.add_row(*_cells(column.name, column.metric, _number(column)))
    return table


def _time(time: Time) -> str:
    try:
        return f"{time.example} → {reading.rfc3339(time_reader.of_example(time))}"
    except ValueError:
        return time.example


def _cells(*cells: str) -> Iterable[Text]:
    return map(terminal.plain, cells)


def _unit(column: Column) -> str:
    if column.conversion is not SAME:
        return f"{column.unit} → {column.stored}"
    return "s" if column.stored == numbers.CLOCK else column.stored


def _number(column: Column) -> str:
    """The first cell of a column as a number, with its unit."""
    written = column.example or ""
    value = number_of(written, column)
    if not isinstance(value, float):
        return written
    if column.unit == numbers.CLOCK:
        return f"{written} → {value:.15g} s"
    read = f"{value:.15g} {column.stored}".strip()
    bare = f"{value:.15g}"
    if written in (read, bare):
        return read
    return (
        f"{written} {'' if written.endswith(column.unit) else column.unit}".strip() + f" → {read}"
    )


def _notes(sources: list[Source]) -> Iterator[tuple[str, str]]:
    plan = sources[0].plan
    left_out: dict[str, list[str]] = {}
    for column in plan.columns:
        if column.left_out:
            left_out.setdefault(column.left_out, []).append(column.name)
    for text, why in (plan.long.left_out if plan.long else {}).items():
        left_out.setdefault(why, []).append(text)
    for why, names in left_out.items():
        more = f" and {len(names) - 12} more" if len(names) > 12 else ""
        yield "left out", f"{', '.join(names[:12])}{more}: {why}"
    device = plan.device
    if device.column is None:
        devices = dict.fromkeys(source.plan.device.name for source in sources)
        yield "device", f"{', '.join(devices)}, {device.note}"
    for written, name in list(device.renamed.items())[:8]:
        yield "device", f"{written} becomes {name}"
    converted = [
        f"{c.metric} from {c.unit} to {c.stored}"
        for c in (*plan.metrics, *(plan.long.metrics.values() if plan.long else ()))
        if c.conversion is not SAME
    ]
    if converted:
        yield "units", ", ".join(dict.fromkeys(converted))
    yield "time", "; ".join(_time_notes(sources))


def _is_rounded(time: Time) -> bool:
    """Whether a spreadsheet has cut a number since 1970: `1.51E+12`."""
    mantissa, exponent, _ = time.example.lower().partition("e")
    return time.kind == "epoch" and bool(exponent) and sum(map(str.isdigit, mantissa)) < 10


def _time_notes(sources: list[Source]) -> Iterator[str]:
    time = sources[0].plan.time
    if time is None:
        yield "that of arrival (--time-column none)"
        return
    firsts = [source.span.first_ms for source in sources if source.span.first_ms is not None]
    lasts = [source.span.last_ms for source in sources if source.span.last_ms is not None]
    if firsts and lasts:
        yield f"{reading.rfc3339(min(firsts))} to {reading.rfc3339(max(lasts))}"
    if time.kind in _HOW:
        rounded = ", rounded in the file: all times are inexact" if _is_rounded(time) else ""
        yield f"{time.example} is read as {_HOW[time.kind]}{rounded}"
    elif time.kind == "text" and time.is_ordered:
        yield f"{time.example} is read with the {_ORDERS[time.order]}"
    if time.kind not in ("epoch", "elapsed", "clock"):
        yield f"zone {time.zone.label}, {time.zone.note}"
    too_old = sum(source.span.too_old for source in sources)
    unreadable = sum(source.span.unreadable for source in sources)
    if too_old:
        oldest = reading.rfc3339(sources[0].plan.oldest_ms)[:10]
        yield f"left out before {oldest}: {too_old} (the clock was not set)"
    if unreadable:
        yield f"left out because their time cannot be read: {unreadable}"
