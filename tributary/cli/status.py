"""`tributary status`: the state of a deployment, once, for people and for scripts."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from tributary import connection, status
from tributary.cli import options
from tributary.errors import Unavailable


@click.command("status", epilog="Example: tributary status --json | jq .pending")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
@options.of_role("status")
def command(*, as_json: bool, **given: Any) -> None:
    """Say what is accepted, applied, pending and lost. Exit 1 when unhealthy."""
    settings = options.of_running(given)
    client = connection.connect(settings)
    try:
        found = status.read(client, settings)
    except Unavailable as error:
        click.echo(f"tributary: {connection.shown(settings.redis_url)}: {error}", err=True)
        sys.exit(1)
    click.echo(json.dumps(found) if as_json else _text(found))
    faults = status.faults(found)
    for fault in faults:
        click.echo(f"tributary: {fault}", err=True)
    sys.exit(1 if faults else 0)


def _text(found: dict[str, Any]) -> str:
    lines = [
        f"{name:12} {found[name]}"
        for name in ("accepted", "applied", "late", "dead", "lost", "pending")
    ]
    lines.append(f"{'lag':12} {found['lag_entries']} entries, {found['lag_s']:.1f} s")
    lines.append(f"{'devices':12} {found['devices']}, series {found['series']}")
    for aggregator in found["aggregators"]:
        owned = ",".join(map(str, aggregator["partitions"]))
        lines.append(f"{'aggregator':12} {aggregator['id']} partitions {owned}")
    memory = found["server"]["used_memory_bytes"] / 1_048_576
    lines.append(f"{'server':12} {found['server']['version']}, {memory:.1f} MiB")
    return "\n".join(lines)
