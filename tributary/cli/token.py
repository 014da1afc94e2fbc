"""`tributary token`: credentials for sensors, apps and operators."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import msgspec
import redis
from rich.console import Console
from rich.table import Table

from tributary.auth import tokens
from tributary.auth.tokens import SCOPES, Scope, Token
from tributary.cli import options, target
from tributary.errors import Misconfigured, NotRunning
from tributary.model import reading
from tributary.standalone import data_dir, embedded_server
from tributary.store import redis_client

_UNITS_MS = {"h": 3_600_000, "d": 86_400_000}


@click.group("token", epilog="Example: tributary token create --name car-7 --device 'car-7'")
def command() -> None:
    """Make, list and revoke the tokens that requests must carry."""


@command.command("create", epilog="Example: tributary token create --device 'car-*' --scope record")
@click.option("--name", default="", help="what it is for, as you will see it in the list")
@click.option("--device", default="*", help="devices it is for; * stands for any characters")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(get_args(Scope)),
    help=f"what it may do; may stand several times [default: {SCOPES[0]}]",
)
@click.option(
    "--series-max", type=click.IntRange(0), default=0, help="new series it may bring; 0: any"
)
@click.option(
    "--devices-max", type=click.IntRange(0), default=0, help="new devices it may bring; 0: any"
)
@click.option("--expires-in", metavar="TIME", help="hours or days it is valid, as 12h or 90d")
@options.add(*options.RUNNING)
def create(  # noqa: PLR0913 - one parameter per option
    name: str,
    device: str,
    scopes: tuple[Scope, ...],
    expires_in: str | None,
    *,
    series_max: int,
    devices_max: int,
    **given: Any,
) -> None:
    """Make a token and print its secret, once: only its SHA-256 is kept."""
    now_ms = time.time_ns() // 1_000_000
    token = Token(
        id=secrets.token_hex(4),
        name=name,
        device=device,
        scopes=scopes or SCOPES[:1],
        created_at_ms=now_ms,
        expires_at_ms=None if expires_in is None else now_ms + _duration_ms(expires_in),
        series_max=series_max,
        devices_max=devices_max,
    )
    with _client(given, creates=True) as client:
        secret = tokens.create(client, token)
    click.echo(f"token {token.id}, shown only now; send it as Authorization: Bearer …", err=True)
    click.echo(secret)


@command.command("list", epilog="Example: tributary token list --json")
@click.option("--json", "as_json", is_flag=True, help="print one JSON array")
@options.add(*options.RUNNING)
def list_tokens(*, as_json: bool, **given: Any) -> None:
    """Show every token, without its secret."""
    with _client(given) as client:
        held = sorted(tokens.load(client).by_digest.values(), key=lambda t: t.created_at_ms)
    rows = [_row(token) for token in held]
    if as_json:
        click.echo(json.dumps(rows))
        return
    table = Table(
        "id",
        "name",
        "device",
        "scopes",
        "series max",
        "devices max",
        "created",
        "expires",
        box=None,
    )
    for row in rows:
        scopes = ", ".join(row["scopes"])
        table.add_row(
            *(tokens.printable(row[column]) for column in ("id", "name", "device")),
            scopes,
            *(str(row[cap] or "any") for cap in ("series_max", "devices_max")),
            row["created_at"],
            row["expires_at"] or "never",
        )
    Console(highlight=False, markup=False).print(table)


@command.command("revoke", epilog="Example: tributary token revoke 3f9a01bc")
@click.argument("token_id")
@options.add(*options.RUNNING)
def revoke(token_id: str, **given: Any) -> None:
    """Refuse a token from now on; every process knows within 5 seconds."""
    with _client(given) as client:
        was_there = tokens.revoke(client, token_id)
    if not was_there:
        shown = tokens.printable(token_id)
        click.echo(f"tributary: there is no token {shown}; see `tributary token list`", err=True)
        sys.exit(1)
    click.echo(f"token {token_id} is revoked", err=True)


@contextlib.contextmanager
def _client(given: dict[str, Any], *, creates: bool = False) -> Iterator[redis.Redis]:
    """A client of the deployment; on a data directory where no server runs, one is started.

    Args:
        given: options of the command.
        creates: whether a data directory that was named and never used may be created.
    """
    with contextlib.ExitStack() as stack:
        try:
            settings = target.find(given)
        except NotRunning:
            settings = options.load(given)
            is_used = (Path(settings.data_dir) / data_dir.LOCK).exists()
            if not is_used and not (creates and options.is_named(given, "data_dir")):
                raise
            url = stack.enter_context(embedded_server.running(settings))
            settings = msgspec.structs.replace(settings, redis_url=url)
        client = redis_client.connect(settings)
        stack.callback(client.close)
        yield client


def _duration_ms(text: str) -> int:
    match = re.fullmatch(r"([1-9][0-9]{0,5})([hd])", text)
    if match is None:
        raise Misconfigured(f"expires-in={text!r} is no time; use hours or days, as 12h or 90d")
    return int(match[1]) * _UNITS_MS[match[2]]


def _row(token: Token) -> dict[str, Any]:
    expires_at_ms = token.expires_at_ms
    return {
        "id": token.id,
        "name": token.name,
        "device": token.device,
        "scopes": list(token.scopes),
        "series_max": token.series_max,
        "devices_max": token.devices_max,
        "created_at": reading.rfc3339(token.created_at_ms),
        "expires_at": None if expires_at_ms is None else reading.rfc3339(expires_at_ms),
    }
