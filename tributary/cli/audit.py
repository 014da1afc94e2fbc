"""`tributary audit`: recompute what is stored from stream and raw files, and compare."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click
import msgspec
from rich.console import Console

from tributary.cli import options, target, terminal
from tributary.operate.audit import Auditor, PartitionReport, history_of
from tributary.store import redis_client

_SHOWN_MAX = 100


@click.command("audit", epilog="Example: tributary audit --partition 3 --hours 24")
@click.option("--partition", type=click.IntRange(0), help="only this partition; default: all")
@click.option(
    "--hours",
    type=click.FloatRange(0, min_open=True),
    help="read only the entries of the last hours; default: as far as stream and raw files reach",
)
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
@options.add(*options.RUNNING, "history_url", "raw_dir")
def command(*, partition: int | None, hours: float | None, as_json: bool, **given: Any) -> None:
    """Recompute aggregates and history from the readings in stream and raw files, and compare.

    It only reads, and may run at any time. Exit 1 if a stored value does not follow from the
    readings.
    """
    settings = target.find(given)
    client = redis_client.connect(settings)
    settings = redis_client.adopt(client, settings)
    if partition is not None and partition >= settings.partitions:
        last = settings.partitions - 1
        raise click.BadParameter(f"{partition} is not one of the partitions 0 to {last}")
    partitions = range(settings.partitions) if partition is None else [partition]
    with history_of(settings) as history:
        auditor = Auditor(client, settings, history=history, hours=hours)
        reports = _audited(auditor, partitions)
    click.echo(json.dumps(_whole(reports)) if as_json else _text(reports))
    sys.exit(1 if any(report.differences_found for report in reports) else 0)


def _audited(auditor: Auditor, partitions: Sequence[int]) -> list[PartitionReport]:
    reports = []
    with terminal.progress(Console(stderr=True)) as bar:
        task = bar.add_task("audit", total=len(partitions))
        for done, number in enumerate(partitions):

            def watch(read: int, total: int, done: int = done) -> None:
                bar.update(task, completed=done + read / max(1, total))

            reports.append(auditor.audit(number, watch))
            bar.update(task, completed=done + 1)
    return reports


def _whole(reports: list[PartitionReport]) -> dict[str, Any]:
    found = sum(report.differences_found for report in reports)
    return {"differences_found": found, "partitions": msgspec.to_builtins(reports)}


def _history(report: PartitionReport) -> str:
    entry = report.history_entry
    if entry is None:
        return "; no history"
    surplus = report.surplus_slots
    more = f", with {surplus} slots that Redis has lost readings of" if surplus else ""
    since = "" if report.history_since is None else f" since {report.history_since}"
    return f"; history{since} up to entry {entry}{more}{_raw(report)}"


def _raw(report: PartitionReport) -> str:
    rows, surplus = report.raw_rows, report.surplus_rows
    more = f" and {surplus} that Redis has lost" if surplus else ""
    return f"; {rows} rows of raw files{more}" if rows or surplus else ""


def _text(reports: list[PartitionReport]) -> str:
    lines = []
    for report in reports:
        since = "all" if report.since is None else f"slots since {report.since}"
        lines.append(
            f"partition {report.partition:<3} {report.differences_found} differences; compared "
            f"{report.slots} summaries of {report.series} series with {report.readings} values "
            f"of {report.entries} entries ({since}{_history(report)})"
        )
    differences = [one for report in reports for one in report.differences]
    lines += [terminal.printable(str(one)) for one in differences[:_SHOWN_MAX]]
    if (more := sum(r.differences_found for r in reports) - _SHOWN_MAX) > 0:
        lines.append(f"… and {more} more; --json lists up to 1,000 per partition")
    return "\n".join(lines)
