"""`tributary dead`: list, show, replay and drop entries that could not be applied."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click
import redis
from rich.table import Table

from tributary.cli import options, target, terminal
from tributary.errors import BadFrame
from tributary.model import reading
from tributary.operate import dead_letters
from tributary.operate.dead_letters import DeadEntry
from tributary.settings import Settings
from tributary.store import redis_client

Function = Callable[..., Any]
_BYTES_SHOWN_MAX = 1024


@click.group("dead", epilog="Example: tributary dead list")
def command() -> None:
    """List, show, replay and drop entries that could not be applied."""


def _chosen(function: Function) -> Function:
    """Add the arguments and options that select entries, and `--yes`."""
    for decorate in (
        options.add(*options.RUNNING),
        click.option("--json", "as_json", is_flag=True, help="print one JSON object"),
        click.option("--yes", is_flag=True, help="do not ask for confirmation"),
        click.option("--all", "is_all", is_flag=True, help="all dead entries"),
        click.argument("names", nargs=-1, metavar="[ENTRY]..."),
    ):
        function = decorate(function)
    return function


@command.command("list", epilog="Example: tributary dead list --json | jq -r '.[].reason'")
@click.option(
    "--limit",
    default=100,
    show_default=True,
    type=click.IntRange(1),
    help="maximum number of entries to list",
)
@click.option("--json", "as_json", is_flag=True, help="print one JSON array")
@options.add(*options.RUNNING)
def list_entries(*, limit: int, as_json: bool, **given: Any) -> None:
    """List dead entries by partition, oldest first."""
    entries = list(itertools.islice(_all(*_deployment(given)), limit + 1))
    rows = [_row(entry) for entry in entries[:limit]]
    if as_json:
        click.echo(json.dumps(rows))
        return
    table = Table("entry", "buried", "readings", "reason", box=None)
    for row in rows:
        numbers = (row["entry"], row["buried_at"], str(row["readings"]))
        table.add_row(*numbers, terminal.plain(row["reason"]))
    terminal.console().print(table)
    if len(entries) > limit:
        click.echo(f"… and more than these {limit}; raise --limit to see them", err=True)


@command.command("show", epilog="Example: tributary dead show 3/1763805600250-0")
@click.argument("name", metavar="ENTRY")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
@options.add(*options.RUNNING)
def show(name: str, *, as_json: bool, **given: Any) -> None:
    """Show a dead entry: the reason, its readings if they can be decoded, its bytes."""
    entry = _named(_deployment(given)[0], name)
    row = {**_row(entry), "readings_held": _held(entry)}
    if as_json:
        fields = [field.hex() for field in entry.fields]
        click.echo(json.dumps({**row, "fields_hex": fields}))
        return
    for label, value in row.items():
        click.echo(f"{label:14} {terminal.printable(str(value))}")
    for field, value in zip(entry.fields[0::2], entry.fields[1::2], strict=True):
        label = terminal.printable(field.decode(errors="replace"))
        cut = f" … {len(value)} bytes" if len(value) > _BYTES_SHOWN_MAX else ""
        click.echo(f"{'field ' + label:14} {value[:_BYTES_SHOWN_MAX].hex(' ')}{cut}")


@command.command("replay", epilog="Example: tributary dead replay --all --yes")
@_chosen
def replay(names: tuple[str, ...], *, is_all: bool, yes: bool, as_json: bool, **given: Any) -> None:
    """Append dead entries to the stream again; their readings are counted once.

    Use it when the reason no longer applies, for example after an upgrade. Exit 1 if some
    entries could not be replayed.
    """
    client, settings = _deployment(given)
    entries = _selected(client, settings, names, is_all=is_all)
    _confirm(f"Append {len(entries)} entries again?", yes=yes)
    replayed, refused = dead_letters.replay(client, settings, entries)
    if as_json:
        click.echo(json.dumps({"replayed": replayed, "refused": refused}))
    else:
        click.echo(f"replayed {replayed} of {len(entries)} entries")
    for name, reason in refused.items():
        click.echo(f"tributary: {name} was not replayed: {terminal.printable(reason)}", err=True)
    sys.exit(1 if refused else 0)


@command.command("drop", epilog="Example: tributary dead drop 3/1763805600250-0 --yes")
@_chosen
def drop(names: tuple[str, ...], *, is_all: bool, yes: bool, as_json: bool, **given: Any) -> None:
    """Delete dead entries permanently; their readings are still counted as dead."""
    client, settings = _deployment(given)
    entries = _selected(client, settings, names, is_all=is_all)
    _confirm(f"Delete {len(entries)} entries permanently?", yes=yes)
    dropped = dead_letters.drop(client, entries)
    click.echo(json.dumps({"dropped": dropped}) if as_json else f"dropped {dropped} entries")


def _deployment(given: dict[str, Any]) -> tuple[redis.Redis, Settings]:
    settings = target.find(given)
    client = redis_client.connect(settings)
    return client, redis_client.adopt(client, settings)


def _all(client: redis.Redis, settings: Settings) -> Iterator[DeadEntry]:
    for partition in range(settings.partitions):
        yield from dead_letters.read(client, partition)


def _named(client: redis.Redis, name: str) -> DeadEntry:
    try:
        entry = dead_letters.find(client, name)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if entry is None:
        click.echo(f"tributary: no dead entry {name}; see `tributary dead list`", err=True)
        sys.exit(1)
    return entry


def _selected(
    client: redis.Redis, settings: Settings, names: tuple[str, ...], *, is_all: bool
) -> list[DeadEntry]:
    if bool(names) == is_all:
        raise click.UsageError("pass entries as listed by `tributary dead list`, or --all")
    if is_all:
        return list(_all(client, settings))
    return [_named(client, name) for name in dict.fromkeys(names)]


def _confirm(question: str, *, yes: bool) -> None:
    if not yes:
        click.confirm(question, abort=True, err=True)


def _row(entry: DeadEntry) -> dict[str, Any]:
    return {
        "entry": entry.name,
        "buried_at": reading.rfc3339(entry.buried_at_ms),
        "stream_id": entry.entry,
        "readings": entry.readings,
        "reason": entry.reason,
    }


def _held(entry: DeadEntry) -> str:
    try:
        blocks = entry.blocks()
    except BadFrame as error:
        return f"none: {error}"
    shown = [f"{device} at {at!r}: {metrics}" for device, at, metrics in blocks[:10]]
    more = [f"and {len(blocks) - 10} more"] if len(blocks) > len(shown) else []
    return "; ".join(shown + more)
