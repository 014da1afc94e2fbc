"""`tributary token`: access tokens for sensors, apps and operators."""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
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
from tributary.model.clock import utc_ms
from tributary.model.window import parse_duration_ms
from tributary.standalone import data_dir, embedded_server
from tributary.store import redis_client

_CAP = click.IntRange(0)


@click.group("token", epilog="Example: tributary token create --name car-7 --device 'car-7'")
def command() -> None:
    """Create, list and revoke access tokens."""


@command.command("create", epilog="Example: tributary token create --device 'car-*' --scope record")
@click.option("--name", default="", help="label in the list")
@click.option("--device", default="*", help="devices that it may access; * matches any characters")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(get_args(Scope)),
    help=f"permission; can be repeated [default: {SCOPES[0]}]",
)
@click.option("--series-max", type=_CAP, default=0, help="limit of new series; 0: unlimited")
@click.option("--devices-max", type=_CAP, default=0, help="limit of new devices; 0: unlimited")
@click.option("--expires-in", metavar="DURATION", help="how long it is valid, like 12h or 90d")
@options.add(*options.RUNNING)
def create(scopes: tuple[Scope, ...], expires_in: str | None, **given: Any) -> None:
    """Create a token and print its secret. Only its SHA-256 is stored.

    Needs no running server: on a data directory without one, it starts the embedded server
    for a moment, and creates the directory if necessary.
    """
    now_ms = utc_ms()
    token = Token(
        id=secrets.token_hex(4),
        scopes=scopes or SCOPES[:1],
        created_at_ms=now_ms,
        expires_at_ms=None if expires_in is None else _expiry_ms(now_ms, expires_in),
        **{name: given.pop(name) for name in ("name", "device", "series_max", "devices_max")},
    )
    with _client(given, is_new=True) as client:
        secret = tokens.create(client, token)
    note = "the secret is shown only once; send it as Authorization: Bearer …"
    click.echo(f"token {token.id}; {note}", err=True)
    click.echo(secret)


@command.command("list", epilog="Example: tributary token list --json")
@click.option("--json", "as_json", is_flag=True, help="print one JSON array")
@options.add(*options.RUNNING)
def list_tokens(*, as_json: bool, **given: Any) -> None:
    """List all tokens, without their secrets."""
    with _client(given) as client:
        held = sorted(tokens.load(client).by_digest.values(), key=lambda t: t.created_at_ms)
    rows = [_row(token) for token in held]
    if as_json:
        click.echo(json.dumps(rows))
        return
    columns = ("id", "name", "device", "scopes", "series max", "devices max", "created", "expires")
    table = Table(*columns, box=None)
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
    """Revoke a token; every process rejects it within 5 seconds."""
    with _client(given) as client:
        existed = tokens.revoke(client, token_id)
    if not existed:
        shown = tokens.printable(token_id)
        click.echo(f"tributary: no token {shown}; see `tributary token list`", err=True)
        sys.exit(1)
    click.echo(f"token {token_id} is revoked", err=True)


@contextlib.contextmanager
def _client(given: dict[str, Any], *, is_new: bool = False) -> Iterator[redis.Redis]:
    """A client of the deployment; starts the embedded server if it is not running.

    The lock of the data directory keeps two servers off the same data: a `tributary up` that
    starts meanwhile waits, and reads what this one has stored.

    Args:
        given: options of the command.
        is_new: whether to create the data directory if no server has ever used it.
    """
    with contextlib.ExitStack() as stack:
        try:
            settings = target.find(given)
        except NotRunning:
            settings = options.load(given)
            directory = Path(settings.data_dir).resolve()
            if not is_new and not (directory / data_dir.LOCK).exists():
                raise
            if is_new:
                shown = tokens.printable(str(directory), limit=4096)
                note = (
                    f"no server is running on {shown}; the next `tributary up` on it has the token"
                )
                click.echo(note, err=True)
            url = stack.enter_context(embedded_server.running(settings))
            settings = msgspec.structs.replace(settings, redis_url=url)
        client = redis_client.connect(settings)
        stack.callback(client.close)
        yield client


def _expiry_ms(now_ms: int, duration: str) -> int:
    try:
        expires_at_ms = now_ms + parse_duration_ms(duration)
        datetime.fromtimestamp(expires_at_ms / 1000, UTC)  # fails beyond the calendar
    except (ValueError, OverflowError):
        raise Misconfigured(
            f"--expires-in {duration!r} is not a valid duration; use one like 12h or 90d"
        ) from None
    return expires_at_ms


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
