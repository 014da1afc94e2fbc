"""`tributary alerts`: what is pending or firing, silences, and what could not be delivered."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click
import msgspec
import redis
from rich.table import Table

from tributary.cli import options, target, terminal
from tributary.model import reading
from tributary.model.clock import utc_ms
from tributary.model.window import parse_duration_ms
from tributary.operate import alert_delivery, alert_states
from tributary.operate.alert_delivery import Silence
from tributary.operate.alert_states import Place, StoredAlert
from tributary.store import redis_client

Function = Callable[..., Any]
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
    _print(rows, as_json=as_json)
    if len(found) > limit and not as_json:
        click.echo(f"… and {len(found) - limit} more; raise --limit to see them", err=True)


def _print(rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Print rows as a table with the columns of the longest one, or as JSON."""
    if as_json:
        click.echo(json.dumps(rows))
        return
    columns = max(rows, key=len, default={})
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*(terminal.plain(str(row.get(name, ""))) for name in columns))
    terminal.console().print(table)


@contextlib.contextmanager
def _deployment(given: dict[str, Any]) -> Iterator[tuple[redis.Redis, int]]:
    """A client and the number of partitions."""
    settings = target.find(given)
    with contextlib.closing(redis_client.connect(settings)) as client:
        yield client, redis_client.adopt(client, settings).partitions


def _read(given: dict[str, Any], device: str | None) -> list[StoredAlert]:
    with _deployment(given) as (client, partitions):
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


def _names(function: Function) -> Function:
    """Add the arguments that name a rule for a series."""
    function = options.add(*options.RUNNING)(function)
    for name in ("rule", "metric", "device"):
        function = click.argument(name)(function)
    return function


@command.command(
    "silence",
    epilog="Example: tributary alerts silence car-9 engine_temperature overheating --for 2h",
)
@click.option("--for", "duration", help="how long, like 30m, 2h or 7d")
@click.option("--until", help="until when, RFC 3339")
@_names
def silence(
    *, device: str, metric: str, rule: str, duration: str | None, until: str | None, **given: Any
) -> None:
    """Do not deliver the transitions of a rule for a device until a time.

    They are still logged and listed. An alert that fires meanwhile is not delivered afterwards.
    """
    now_ms = utc_ms()
    until_ms = _until_ms(duration, until, now_ms)
    with _deployment(given) as (client, partitions):
        wanted = Silence(device, metric, rule, until_ms)
        alert_delivery.silence(client, partitions, wanted, now_ms)
    click.echo(f"{rule} of {metric} is silenced for {device} until {reading.rfc3339(until_ms)}")


@command.command(
    "unsilence", epilog="Example: tributary alerts unsilence car-9 engine_temperature overheating"
)
@_names
def unsilence(*, device: str, metric: str, rule: str, **given: Any) -> None:
    """End a silence. Exit 1 if there is none."""
    with _deployment(given) as (client, partitions):
        is_ended = alert_delivery.end_silence(client, partitions, device, metric, rule)
    if not is_ended:
        click.echo("tributary: no such silence; see `tributary alerts silences`", err=True)
        sys.exit(1)
    click.echo(f"{rule} of {metric} is not silenced any more for {device}")


@command.command("silences", epilog="Example: tributary alerts silences --json")
@click.option("--json", "as_json", is_flag=True, help="print one JSON array")
@options.add(*options.RUNNING)
def silences(*, as_json: bool, **given: Any) -> None:
    """List the silences that have not ended."""
    with _deployment(given) as (client, partitions):
        found = alert_delivery.silences(client, partitions, utc_ms())
    rows = [
        {"device": s.device, "metric": s.metric, "rule": s.rule,
         "until": reading.rfc3339(s.until_ms)} for s in found
    ]  # fmt: skip
    _print(rows, as_json=as_json)


@command.command("undelivered", epilog="Example: tributary alerts undelivered --json")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1),
              help="maximum number of transitions to list")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="print one JSON array")
@options.add(*options.RUNNING)
def undelivered(*, limit: int, as_json: bool, **given: Any) -> None:
    """List the transitions that could not be delivered, the latest first."""
    with _deployment(given) as (client, partitions):
        found = alert_delivery.undelivered(client, partitions, limit)
    rows = [
        {
            "at": reading.rfc3339(each.at_ms),
            "destination": each.destination,
            "reason": each.reason,
            **({} if each.transition is None else msgspec.to_builtins(each.transition)),
        }
        for each in found
    ]
    _print(rows, as_json=as_json)


def _until_ms(duration: str | None, until: str | None, now_ms: int) -> int:
    if (duration is None) == (until is None):
        raise click.UsageError("pass --for or --until")
    try:
        if duration is not None:
            return now_ms + parse_duration_ms(duration)
        until_ms = reading.time_ms(str(until))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if until_ms <= now_ms:
        raise click.BadParameter(f"{until} is not in the future")
    return until_ms
