"""`tributary health`: whether the role that runs here is well, for the checks of containers."""

from __future__ import annotations

import socket
import sys
from typing import Any

import click

from tributary.cli import options, target
from tributary.errors import TributaryError
from tributary.operate import status
from tributary.process import probe
from tributary.settings import Settings
from tributary.store import redis_client

_TIMEOUT_S = 4.0  # container checks give up after five
_HOST_NAME_MAX = 40  # of a worker's id, which begins with it


@click.command("health", epilog="Example: tributary health http --port 8000")
@click.argument("role", type=click.Choice(["http", "aggregator"]))
@click.option("--port", type=click.IntRange(1, 65535), help="of the HTTP role [TRIBUTARY_PORT]")
@options.add(*options.RUNNING)
def command(*, role: str, port: int | None, **given: Any) -> None:
    """Exit 0 if the role on this machine is well, else 1, saying why.

    An HTTP role is well if /readyz says so. An aggregator is well if one whose id begins with
    the name of this machine has a fresh heartbeat: one for each container.
    """
    try:
        if role == "http":
            settings = options.load(given)
            reason = probe.why_not_ready(settings.host, port or settings.port, _TIMEOUT_S)
        else:
            reason = _aggregator(target.find(given))
    except TributaryError as error:
        reason = str(error)
    if reason is not None:
        click.echo(f"tributary: {reason}", err=True)
        sys.exit(1)


def _aggregator(settings: Settings) -> str | None:
    """Why no aggregator of this machine is alive, or None."""
    client = redis_client.connect(settings)
    try:
        alive = status.aggregators_alive(client, settings)
    finally:
        client.close()
    prefix = f"{socket.gethostname()[:_HOST_NAME_MAX]}-"
    if any(aggregator.id.startswith(prefix) for aggregator in alive):
        return None
    return f"none of the {len(alive)} aggregators alive is called {prefix}…"
