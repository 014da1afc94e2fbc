"""Renders one frame of `tributary top` from the last two statuses. Pure."""

from __future__ import annotations

from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.styled import Styled
from rich.table import Table
from rich.text import Text

from tributary.operate import alert_counts, status
from tributary.operate.alert_counts import AlertCounts
from tributary.operate.status import Aggregator, Jobs, Partition, Status
from tributary.operate.status.stale_devices import StaleDevices

_FRAME_LINES = 16  # all but the rows of partitions, aggregators and problems
_AGGREGATORS_MAX = 4
_LAG_WARNS_S = 1.0
_MIB = 1_048_576


class Snapshot(NamedTuple):
    """A status, when it was taken, and how many devices were stale."""

    status: Status
    taken_s: float  # monotonic clock
    stale: StaleDevices
    alerts: AlertCounts | None = None


class Outage(NamedTuple):
    """How long Redis has been unavailable, and why."""

    for_s: float
    reason: str


def frame(
    now: Snapshot | None, before: Snapshot | None, outage: Outage | None, address: str, height: int
) -> RenderableType:
    """Render the screen; during an outage the last values are dimmed."""
    head = Table.grid(expand=True, padding=(0, 1))
    head.add_column(no_wrap=True)
    head.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    head.add_column(no_wrap=True, justify="right")
    head.add_row(Text("Tributary", "bold"), Text(address, "cyan"), Text("q quits", "dim"))
    parts: list[RenderableType] = [head]
    if outage is not None:
        parts.append(_banner(f"for {outage.for_s:.0f} s: {outage.reason}"))
    if now is None:
        return Group(*parts, Text("no data yet", "dim"))
    problems = [] if outage else status.problems(now.status)
    warnings = [] if outage else status.warnings(now.status)
    parts += [_banner(problem) for problem in problems]
    parts += [_banner(warning, "yellow") for warning in warnings]
    rows = height - _FRAME_LINES - 2 * len(problems + warnings) - (2 if outage else 0)
    aggregators = now.status.aggregators
    figures = Group(
        Text(),
        _readings(now, before),
        Text(),
        _totals(now),
        Text(),
        _partitions(now, before, max(1, rows - min(len(aggregators), _AGGREGATORS_MAX))),
        Text(),
        _aggregators(aggregators),
    )
    return Group(*parts, Styled(figures, "dim") if outage else figures)


def rate(now: Snapshot, before: Snapshot | None, name: str, partition: int | None = None) -> float:
    """Growth of a count in readings per second; 0 if the count was reset."""
    if before is None or now.taken_s <= before.taken_s:
        return 0.0
    new: Status | Partition = now.status
    old: Status | Partition = before.status
    if partition is not None:
        if partition >= len(before.status.partitions):
            return 0.0
        new, old = now.status.partitions[partition], before.status.partitions[partition]
    growth: int = getattr(new, name) - getattr(old, name)
    return max(0.0, growth / (now.taken_s - before.taken_s))


def _banner(text: str, style: str = "bold red") -> Text:
    return Text(f"! {text}", style)


def _readings(now: Snapshot, before: Snapshot | None) -> Table:
    names = ("accepted", "applied", "late", "dead", "lost", "refused")
    table = _table("readings", *names)
    table.add_row("per second", *(_count(n, rate(now, before, n)) for n in names))
    table.add_row("total", *(_count(n, getattr(now.status, n)) for n in names))
    return table


def _totals(now: Snapshot) -> Table:
    found, server = now.status, now.status.server
    stale = f"{'' if now.stale.is_exact else '~'}{now.stale.devices:,}"
    memory = f"{server.used_memory_bytes / _MIB:,.1f}"
    if server.max_memory_bytes:
        memory += f" of {server.max_memory_bytes / _MIB:,.0f}"
    missing = f" ({found.missing:,} missing)" if found.missing else ""
    grid = Table.grid(expand=True, padding=(0, 1))
    for _ in range(2):
        grid.add_column(style="dim", no_wrap=True, width=8)
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    pending = f"{found.pending:,} readings{missing}"
    lag = f"{found.lag_entries:,} entries, {found.lag_s:.1f} s"
    grid.add_row("pending", pending, "devices", f"{found.devices:,}, {stale} stale")
    grid.add_row("lag", lag, "series", f"{found.series:,}")
    alerts = alert_counts.summary(now.alerts) if now.alerts else ""
    grid.add_row("jobs", _jobs(found.jobs), "alerts" if alerts else "", alerts)
    grid.add_row("memory", f"{memory} MiB", "server", f"{server.version} {server.role}")
    if found.history:
        behind = f"{found.history.lag_entries:,} entries, {found.history.lag_s:.1f} s behind"
        grid.add_row("history", behind, "gaps", f"{found.history.gap_readings:,} readings missing")
    return grid


def _jobs(jobs: Jobs | None) -> Text:
    if jobs is None:
        return Text("unavailable", "red")
    waits = f", {jobs.oldest_s:.1f} s" if jobs.queued else ""
    failed = Text(f"{jobs.failed:,} failed", "red" if jobs.failed else "")
    return Text.assemble(f"{jobs.queued:,} queued{waits}, ", failed)


def _partitions(now: Snapshot, before: Snapshot | None, rows: int) -> Table:
    """The partitions with the largest lag, then the busiest."""
    owners = {p: a.id for a in now.status.aggregators for p in a.partitions}
    rates = [rate(now, before, "accepted", p.partition) for p in now.status.partitions]
    order = sorted(
        now.status.partitions,
        key=lambda p: (p.lag_s, p.pending, rates[p.partition]),
        reverse=True,
    )
    table = _table("partition", "in/s", "out/s", "pending", "entries", "lag s", "owner")
    for p in order[:rows]:
        number = p.partition
        table.add_row(
            str(number),
            f"{rates[number]:,.0f}",
            f"{rate(now, before, 'applied', number):,.0f}",
            f"{p.pending:,}",
            f"{p.entries.pending:,}",
            Text(f"{p.lag_s:.1f}", "yellow" if p.lag_s > _LAG_WARNS_S else ""),
            Text(_short(owners.get(number, "none")), "" if number in owners else "red"),
        )
    if len(order) > rows:
        table.caption = f"and {len(order) - rows} more partitions with less lag"
        table.caption_justify = "left"
    return table


def _aggregators(aggregators: list[Aggregator]) -> Table:
    table = _table(f"aggregators: {len(aggregators)}", "partitions", "heartbeat")
    for each in aggregators[:_AGGREGATORS_MAX]:
        age = f"{each.heartbeat_age_ms:,} ms ago"
        table.add_row(_short(each.id, 40), str(len(each.partitions)), age)
    if len(aggregators) > _AGGREGATORS_MAX:
        table.add_row(f"and {len(aggregators) - _AGGREGATORS_MAX} more", "", "")
    return table


def _table(first: str, *columns: str) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True, overflow="ellipsis")
    return table


def _count(name: str, value: float) -> Text:
    """A count, red if readings were lost or rejected."""
    is_bad = value > 0 and name in ("dead", "lost", "refused")
    return Text(f"{value:,.0f}", "bold red" if is_bad else "")


def _short(id_: str, width: int = 16) -> str:
    """Keep the end of an id: the start is the name of the machine."""
    return id_ if len(id_) <= width else "…" + id_[1 - width :]
