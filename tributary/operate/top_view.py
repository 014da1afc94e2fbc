"""One frame of `tributary top`: two statuses and a size in, something to draw out. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.styled import Styled
from rich.table import Table
from rich.text import Text

from tributary.operate import status
from tributary.operate.status.staleness import Stale

_FRAME_LINES = 14  # all but the rows of partitions, workers and faults
_WORKERS_MAX = 4
_LAG_WARNS_S = 1.0
_MIB = 1_048_576


class Snapshot(NamedTuple):
    """A status, when it was taken, and how many devices were stale then."""

    found: dict[str, Any]
    taken_s: float  # of a clock that only goes forward
    stale: Stale


class Outage(NamedTuple):
    """Since when the server has not answered, and what it said instead."""

    for_s: float
    reason: str


def frame(
    now: Snapshot | None, before: Snapshot | None, outage: Outage | None, place: str, height: int
) -> RenderableType:
    """What stands on the screen; figures from before an outage are dimmed."""
    head = Table.grid(expand=True, padding=(0, 1))
    head.add_column(no_wrap=True)
    head.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    head.add_column(no_wrap=True, justify="right")
    head.add_row(Text("Tributary", "bold"), Text(place, "cyan"), Text("q quits", "dim"))
    parts: list[RenderableType] = [head]
    if outage is not None:
        parts.append(_banner(f"for {outage.for_s:.0f} s: {outage.reason}"))
    if now is None:
        return Group(*parts, Text("no figures yet", "dim"))
    faults = [] if outage else status.faults(now.found)
    warnings = [] if outage else status.warnings(now.found)
    parts += [_banner(fault) for fault in faults]
    parts += [_banner(warning, "yellow") for warning in warnings]
    room = height - _FRAME_LINES - 2 * len(faults + warnings) - (2 if outage else 0)
    workers = now.found["aggregators"]
    figures = Group(
        Text(),
        _flow(now, before),
        Text(),
        _facts(now),
        Text(),
        _partitions(now, before, max(1, room - min(len(workers), _WORKERS_MAX))),
        Text(),
        _workers(workers),
    )
    return Group(*parts, Styled(figures, "dim") if outage else figures)


def rate(now: Snapshot, before: Snapshot | None, name: str, partition: int | None = None) -> float:
    """Readings a second by which a count has grown; 0 after it began anew."""
    if before is None or now.taken_s <= before.taken_s:
        return 0.0
    then, this = before.found, now.found
    if partition is not None:
        if partition >= len(then["partitions"]):
            return 0.0
        then, this = then["partitions"][partition], this["partitions"][partition]
    grown: int = this[name] - then[name]
    return max(0.0, grown / (now.taken_s - before.taken_s))


def _banner(text: str, style: str = "bold red") -> Text:
    return Text(f"! {text}", style)


def _flow(now: Snapshot, before: Snapshot | None) -> Table:
    names = ("accepted", "applied", "late", "dead", "lost", "refused")
    table = _table("readings", *names)
    table.add_row("a second", *(_alarming(n, rate(now, before, n)) for n in names))
    table.add_row("in all", *(_alarming(n, now.found[n]) for n in names))
    return table


def _facts(now: Snapshot) -> Table:
    found, server = now.found, now.found["server"]
    stale = f"{'' if now.stale.is_exact else '~'}{now.stale.devices:,}"
    memory = f"{server['used_memory_bytes'] / _MIB:,.1f}"
    if server["max_memory_bytes"]:
        memory += f" of {server['max_memory_bytes'] / _MIB:,.0f}"
    missing = f" ({found['missing']:,} missing)" if found["missing"] else ""
    grid = Table.grid(expand=True, padding=(0, 1))
    for _ in range(2):
        grid.add_column(style="dim", no_wrap=True, width=8)
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    pending = f"{found['pending']:,} readings{missing}"
    lag = f"{found['lag_entries']:,} entries, {found['lag_s']:.1f} s"
    grid.add_row("pending", pending, "devices", f"{found['devices']:,}, {stale} stale")
    grid.add_row("lag", lag, "series", f"{found['series']:,}")
    grid.add_row("memory", f"{memory} MiB", "server", f"{server['version']} {server['role']}")
    return grid


def _partitions(now: Snapshot, before: Snapshot | None, rows: int) -> Table:
    """The partitions that are furthest behind, then the busiest."""
    found = now.found["partitions"]
    owners = {p: a["id"] for a in now.found["aggregators"] for p in a["partitions"]}
    rates = {p["partition"]: rate(now, before, "accepted", p["partition"]) for p in found}
    order = sorted(
        found, key=lambda p: (p["lag_s"], p["pending"], rates[p["partition"]]), reverse=True
    )
    table = _table("partition", "in/s", "out/s", "pending", "entries", "lag s", "owner")
    for p in order[:rows]:
        number = p["partition"]
        table.add_row(
            str(number),
            f"{rates[number]:,.0f}",
            f"{rate(now, before, 'applied', number):,.0f}",
            f"{p['pending']:,}",
            f"{p['entries']['pending']:,}",
            Text(f"{p['lag_s']:.1f}", "yellow" if p["lag_s"] > _LAG_WARNS_S else ""),
            Text(_short(owners.get(number, "nobody")), "" if number in owners else "red"),
        )
    if len(order) > rows:
        table.caption = f"and {len(order) - rows} partitions that are less behind"
        table.caption_justify = "left"
    return table


def _workers(workers: list[dict[str, Any]]) -> Table:
    table = _table(f"aggregators: {len(workers)}", "partitions", "heartbeat")
    for worker in workers[:_WORKERS_MAX]:
        table.add_row(
            _short(worker["id"], 40),
            str(len(worker["partitions"])),
            f"{worker['heartbeat_age_ms']:,} ms ago",
        )
    if len(workers) > _WORKERS_MAX:
        table.add_row(f"and {len(workers) - _WORKERS_MAX} more", "", "")
    return table


def _table(first: str, *columns: str) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True, overflow="ellipsis")
    return table


def _alarming(name: str, value: float) -> Text:
    """Loss and its kin in red, unless there is none."""
    is_bad = value > 0 and name in ("dead", "lost", "refused")
    return Text(f"{value:,.0f}", "bold red" if is_bad else "")


def _short(worker: str, width: int = 16) -> str:
    """The end of a worker's id is what tells it from others of its machine."""
    return worker if len(worker) <= width else "…" + worker[1 - width :]
