"""`tributary health`: check a role on this machine, for container health checks."""

from __future__ import annotations

import contextlib
import socket
import sys
from typing import Any

import click

from tributary.cli import options, target
from tributary.errors import TributaryError
from tributary.operate import bridges, job_processes, status
from tributary.process import probe
from tributary.settings import Settings
from tributary.store import redis_client

_TIMEOUT_S = 4.0  # container checks give up after five
_HOST_NAME_MAX = 40  # an aggregator id starts with the host name, cut to this length


@click.command("health", epilog="Example: tributary health http --port 8000")
@click.argument("role", type=click.Choice(["http", "aggregator", "jobs", "mqtt"]))
@click.option(
    "--port", type=click.IntRange(1, 65535), help="port of the HTTP role [TRIBUTARY_PORT]"
)
@options.add(*options.RUNNING)
def command(*, role: str, port: int | None, **given: Any) -> None:
    """Exit 0 if the role on this machine is healthy, else exit 1 and print the reason.

    An HTTP role is healthy if /readyz returns 200. An aggregator is healthy if one whose id
    starts with the host name has a recent heartbeat, so this works with one per container; a
    process of jobs likewise, and all its workers run. An MQTT bridge is healthy if it is subscribed and connected to Redis.
    """
    try:
        if role == "http":
            settings = options.load(given)
            reason = probe.why_not_ready(settings.host, port or settings.port, _TIMEOUT_S)
        elif role == "mqtt":
            reason = _bridge(target.find(given))
        elif role == "jobs":
            reason = _none_of_this_machine(
                "processes of jobs", job_processes.alive(target.find(given))
            )
        else:
            reason = _aggregator(target.find(given))
    except TributaryError as error:
        reason = str(error)
    if reason is not None:
        click.echo(f"tributary: {reason}", err=True)
        sys.exit(1)


def _aggregator(settings: Settings) -> str | None:
    """Why no aggregator of this machine is alive, or None if one is."""
    with contextlib.closing(redis_client.connect(settings)) as client:
        alive = status.aggregators_alive(client, settings)
    return _none_of_this_machine("aggregators", [aggregator.id for aggregator in alive])


def _none_of_this_machine(what: str, ids: list[str]) -> str | None:
    """Why none of the live processes is on this machine, or None if one is."""
    prefix = f"{socket.gethostname()[:_HOST_NAME_MAX]}-"
    if any(id_.startswith(prefix) for id_ in ids):
        return None
    return f"none of the {len(ids)} live {what} has an id that starts with {prefix}"


def _bridge(settings: Settings) -> str | None:
    """Why the bridge of this machine is not connected, or None if it is."""
    with contextlib.closing(redis_client.connect(settings)) as client:
        alive = bridges.alive(client)
    id_ = bridges.client_id(settings)
    return None if id_ in alive else f"bridge {id_} is not among the {len(alive)} connected ones"
