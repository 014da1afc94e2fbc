"""`tributary status`: prints the status of a deployment, for people and for scripts."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
import msgspec

from tributary.cli import options, target
from tributary.errors import TributaryError
from tributary.operate import alert_counts, status
from tributary.operate.status import Status
from tributary.operate.status.history import HistoryStatus
from tributary.store import redis_client, redis_url

_COUNTS = ("accepted", "applied", "late", "dead", "lost", "pending", "refused")


@click.command("status", epilog="Example: tributary status --json | jq .pending")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
@options.add(*options.RUNNING)
def command(*, as_json: bool, **given: Any) -> None:
    """Show the counts of accepted, applied, pending and lost readings. Exit 1 if unhealthy."""
    settings = target.find(given)
    client = redis_client.connect(settings)
    try:
        adopted = redis_client.adopt(client, settings)
        found = status.read(client, adopted)
        alerts = alert_counts.read(client, adopted.partitions)
    except TributaryError as error:
        click.echo(f"tributary: {redis_url.redacted(settings.redis_url)}: {error}", err=True)
        sys.exit(1)
    problems, warnings = status.problems(found), status.warnings(found)
    extra = {"faults": problems, "warnings": warnings}
    text = f"{_text(found)}\n{'alerts':12} {alert_counts.summary(alerts)}"
    click.echo(json.dumps({**msgspec.to_builtins(found), **extra}) if as_json else text)
    for warning in warnings:
        click.echo(f"tributary: warning: {warning}", err=True)
    for problem in problems:
        click.echo(f"tributary: {problem}", err=True)
    sys.exit(1 if problems else 0)


def _text(found: Status) -> str:
    lines = [f"{name:12} {getattr(found, name)}" for name in _COUNTS]
    if found.lost_at_restart:
        lines[4] += f", {found.lost_at_restart} of them when Redis restarted"
    if found.missing:
        lines[5] += f", {found.missing} of them no longer in the stream"
    lines.append(f"{'lag':12} {found.lag_entries} entries, {found.lag_s:.1f} s")
    behind = [p for p in found.partitions if p.pending]
    lines += [
        f"  partition {p.partition:<3} {p.pending} pending, "
        f"{p.entries.pending} entries, {p.lag_s:.1f} s"
        for p in sorted(behind, key=lambda p: p.lag_s, reverse=True)[:5]
    ]
    if found.history:
        lines.append(f"{'history':12} {_history(found.history)}")
    lines.append(f"{'devices':12} {found.devices}, series {found.series}")
    for aggregator in found.aggregators:
        owned = ",".join(map(str, aggregator.partitions))
        lines.append(f"{'aggregator':12} {aggregator.id} partitions {owned}")
    jobs = found.jobs
    waits = (
        f"{jobs.queued} queued, {jobs.failed} failed, {jobs.oldest_s:.1f} s"
        if jobs
        else "unavailable"
    )
    lines.append(f"{'jobs':12} {waits}")
    server = found.server
    lines.append(f"{'server':12} {server.version}, {server.used_memory_bytes / 1_048_576:.1f} MiB")
    lines.append(
        f"{'disk':12} {server.aof_delayed_fsyncs} fsyncs delayed, "
        f"{server.aof_pending_fsyncs} running, {server.aof_unwritten_bytes} bytes unwritten"
    )
    return "\n".join(lines)


def _history(history: HistoryStatus) -> str:
    text = f"{history.lag_entries} entries behind, {history.lag_s:.1f} s"
    if history.gaps:
        text += (
            f"; lacks {history.gap_readings} readings of {history.gap_entries} entries "
            f"in {history.gaps} gaps"
        )
    return text
