"""`tributary alerts`: the alerts that are pending or firing."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import click
from rich.table import Table

from tributary.cli import options, target, terminal
from tributary.model import reading
from tributary.operate import alert_states
from tributary.operate.alert_states import Place, StoredAlert
from tributary.store import redis_client

_STATES = ("pending", "firing")


@click.group("alerts", invoke_without_command=True, epilog="Example: tributary alerts --json")
@click.option("--state", type=click.Choice(_STATES), help="only alerts in this state")
@click.option("--device", help="only alerts of this device")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1),
              help="maximum number of alerts to list")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="print one JSON array")
@options.add(*options.RUNNING)
@click.pass_context
def command(
    context: click.Context,
    /,
    *,
    state: str | None,
    device: str | None,
    limit: int,
    as_json: bool,
    **given: Any,
) -> None:
    """List the alerts that are pending or firing, the latest first.

    The rules are in the catalogue of metrics, TRIBUTARY_METRICS_FILE.
    """
    if context.invoked_subcommand is not None:
        return
    found = [each for each in _read(given, device) if state in (None, each.state.state)]
    found.sort(key=lambda each: (each.state.since_ms, *each[:3]), reverse=True)
    rows = [_row(each) for each in found[:limit]]
    if as_json:
        click.echo(json.dumps(rows))
        return
    table = Table("device", "metric", "rule", "severity", "state", "since", "value", box=None)
    for row in rows:
        table.add_row(*(terminal.plain(str(value)) for value in row.values()))
    terminal.console().print(table)
    if len(found) > limit:
        click.echo(f"… and {len(found) - limit} more; raise --limit to see them", err=True)


def _read(given: dict[str, Any], device: str | None) -> list[StoredAlert]:
    settings = target.find(given)
    with contextlib.closing(redis_client.connect(settings)) as client:
        partitions = redis_client.adopt(client, settings).partitions
        if device is not None:
            return alert_states.of_device(client, partitions, device)
        found: list[StoredAlert] = []
        place: Place | None = Place()
        while place is not None:
            page, place = alert_states.page(client, partitions, place, 1_000)
            found += page
        return found


def _row(stored: StoredAlert) -> dict[str, Any]:
    device, metric, rule, state = stored
    return {
        "device": device,
        "metric": metric,
        "rule": rule,
        "severity": state.severity,
        "state": state.state,
        "since": reading.rfc3339(state.since_ms),
        "value": state.value,
    }
