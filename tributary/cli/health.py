"""`tributary health`: whether the role that runs here is well, for the checks of containers."""

from __future__ import annotations

import http.client
import json
import socket
import sys
from typing import Any

import click

from tributary.cli import options
from tributary.errors import TributaryError
from tributary.operate import status
from tributary.settings import Settings
from tributary.store import redis_client

_PATIENCE_S = 4.0  # container checks give up after five
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked, not listened on
_HOST_NAME_MAX = 40  # of a worker's id, which begins with it


@click.command("health", epilog="Example: tributary health http --port 8000")
@click.argument("role", type=click.Choice(["http", "aggregator"]))
@click.option("--port", type=click.IntRange(1, 65535), help="of the HTTP role [TRIBUTARY_PORT]")
@options.of_role("status")
def command(*, role: str, port: int | None, **given: Any) -> None:
    """Exit 0 if the role on this machine is well, else 1, saying why.

    An HTTP role is well if /readyz says so. An aggregator is well if one whose id begins with
    the name of this machine has a fresh heartbeat: one for each container.
    """
    try:
        settings = options.of_running(given)
        reason = _http(settings, port or settings.port) if role == "http" else _aggregator(settings)
    except TributaryError as error:
        reason = str(error)
    if reason is not None:
        click.echo(f"tributary: {reason}", err=True)
        sys.exit(1)


def _http(settings: Settings, port: int) -> str | None:
    """Why an HTTP role is not ready, or None."""
    host = _EVERYWHERE.get(settings.host, settings.host)
    asking = http.client.HTTPConnection(host, port, timeout=_PATIENCE_S)
    try:
        asking.request("GET", "/readyz")
        answer = asking.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        return f"no answer from {host}:{port}: {error or type(error).__name__}"
    finally:
        asking.close()
    if answer.status == http.HTTPStatus.OK:
        return None
    return f"{host}:{port} is not ready: {_reasons(body) or answer.status}"


def _reasons(body: bytes) -> str:
    try:
        return "; ".join(json.loads(body)["reasons"])
    except (ValueError, LookupError, TypeError):
        return ""


def _aggregator(settings: Settings) -> str | None:
    """Why no aggregator of this machine is alive, or None."""
    client = redis_client.connect(settings)
    try:
        alive = status.aggregators_alive(client, settings)
    finally:
        client.close()
    prefix = f"{socket.gethostname()[:_HOST_NAME_MAX]}-"
    if any(aggregator["id"].startswith(prefix) for aggregator in alive):
        return None
    return f"none of the {len(alive)} aggregators alive is called {prefix}…"
