"""`tributary forget`: delete everything about devices, permanently."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import click
import msgspec
import redis
from rich.table import Table

from tributary.cli import options, target, terminal
from tributary.errors import TributaryError
from tributary.model import pattern
from tributary.operate import job_queue
from tributary.operate.forgetting import records, requests, survey
from tributary.operate.forgetting.requests import Report
from tributary.operate.forgetting.survey import Found
from tributary.settings import Settings
from tributary.store import redis_client

_POLL_S = 0.2
_NAMES_SHOWN_MAX = 5
_LABELS = {
    "devices": "devices",
    "with_aggregates": "with current values and windows",
    "series": "their series",
    "stream_readings": "their readings in the streams",
    "stream_entries": "stream entries that contain these",
    "readings_of_others": "readings of other devices in the same entries",
    "dead_entries": "dead entries",
    "history_slots": "slots of the history",
}
_WAITS = {
    "": "the aggregators",
    "aggregators": "the aggregators",
    "history": "the history to reach the request",
    "files": "the files of Redis to be rewritten",
}


@click.command("forget", epilog="Example: tributary forget 'test/*' --dry-run")
@click.argument("wanted", metavar="DEVICE|PATTERN")
@click.option("--dry-run", is_flag=True, help="only count what would be deleted")
@click.option("--yes", is_flag=True, help="do not ask for confirmation")
@click.option("--no-wait", is_flag=True, help="do not wait until everything is deleted")
@click.option(
    "--timeout", "timeout_s", default=600, show_default=True, type=click.IntRange(1),
    help="seconds to wait; the request goes on behind that",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
@options.add(*options.RUNNING, "history_url", "jobs_url")
def command(  # noqa: PLR0913 (the options)
    wanted: str,
    *,
    dry_run: bool,
    yes: bool,
    no_wait: bool,
    timeout_s: int,
    as_json: bool,
    **given: Any,
) -> None:
    """Delete everything about a device, or all that a pattern with * covers, permanently.

    Aggregates, history, readings in streams and files, dead entries and exports that were
    recorded before the command; what a device records afterwards counts as that of a new one.
    It waits until the role `jobs` reports that nothing names the devices any more, and prints
    what is left elsewhere. Exit 1 if no device matches, or it does not finish in time.
    """
    if not pattern.is_pattern(wanted):
        raise click.BadParameter(f"{wanted!r} is not a device or pattern; use {pattern.RULE}")
    settings = target.find(given)
    client = redis_client.connect(settings)
    settings = redis_client.adopt(client, settings)
    if not (devices := requests.resolve(client, settings, wanted)):
        click.echo(f"tributary: no device matches {wanted!r}", err=True)
        sys.exit(1)
    if dry_run:
        _print_found(survey.survey(client, settings, devices), devices, as_json=as_json)
        return
    if not yes:
        _confirm(devices)
    request = requests.ask(client, settings, devices)
    _queue(settings)
    if no_wait:
        click.echo(json.dumps({"request": request}) if as_json else f"request {request}")
        return
    report = _wait(client, settings, request, timeout_s)
    if as_json:
        click.echo(msgspec.json.encode(report).decode())
    else:
        _print_report(report)


def _confirm(devices: list[str]) -> None:
    shown, rest = ", ".join(devices[:_NAMES_SHOWN_MAX]), len(devices) - _NAMES_SHOWN_MAX
    more = f" and {rest} more" if rest > 0 else ""
    question = f"Forget {len(devices)} devices permanently: {shown}{more}?"
    click.confirm(question, abort=True, err=True)


def _queue(settings: Settings) -> None:
    """Start the job now and not with the next turn of the schedule, if that is possible."""
    try:
        job_queue.enqueue(settings, "forget", id="forget")
    except TributaryError as error:
        click.echo(
            f"tributary: the job begins with the next turn of its schedule: {error}", err=True
        )


def _wait(client: redis.Redis, settings: Settings, request: str, timeout_s: int) -> Report:
    """Wait for the report; exit 1 if it does not come in time, or Redis has lost the request."""
    deadline_s, shown = time.monotonic() + timeout_s, ""
    while time.monotonic() < deadline_s:
        report = requests.report(client, request)
        if report is not None:
            return report
        waits = requests.progress(client, request)
        if waits != shown:
            click.echo(f"waiting for {_WAITS.get(waits, waits)}", err=True)
            shown = waits
        held = records.read(client, range(settings.partitions))
        if all(record.tombstone.request != request for record in held):
            report = requests.report(client, request)
            if report is not None:
                return report
            click.echo(
                "tributary: Redis has restarted without the request, which it had acknowledged; "
                "run the command again",
                err=True,
            )
            sys.exit(1)
        time.sleep(_POLL_S)
    click.echo(
        f"tributary: not finished in {timeout_s} s, and still waiting for "
        f"{_WAITS.get(shown, shown)}; the request {request} goes on by itself. Check that "
        "`tributary aggregator` and `tributary jobs` run, and `tributary jobs list`",
        err=True,
    )
    sys.exit(1)


def _print_found(found: Found, devices: list[str], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({**msgspec.to_builtins(found), "names": devices}))
        return
    table = Table("what", "count", box=None)
    for name, count in msgspec.to_builtins(found).items():
        table.add_row(_LABELS[name], f"{count:,}")
    terminal.console().print(table)
    for device in devices[:_NAMES_SHOWN_MAX]:
        click.echo(f"  {device}")
    if len(devices) > _NAMES_SHOWN_MAX:
        click.echo(f"  … and {len(devices) - _NAMES_SHOWN_MAX} more; --json lists all")


def _print_report(report: Report) -> None:
    click.echo(f"forgot {report.devices} devices")
    rows = [("deleted", report.deleted), ("checked, no name found", report.checked)]
    for title, counts in rows:
        shown = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
        click.echo(f"{title}: {shown or 'nothing'}")
    click.echo("left:")
    for left in report.left:
        click.echo(f"  {left.where}: {left.reason}")
