"""The first token of a deployment that other machines can reach, created by `tributary up`.

Its secret is printed once, and only to a terminal. Output that systemd, a container engine or a
pipe reads ends up in a log, so there `up` refuses to start and prints the command to run.
"""

from __future__ import annotations

import secrets
import shlex
import socket
from typing import TYPE_CHECKING

import click
import redis

from tributary.auth import qr_code, tokens
from tributary.auth.tokens import SCOPES, Token
from tributary.model.clock import utc_ms
from tributary.settings import Settings
from tributary.store import redis_url

if TYPE_CHECKING:
    from rich.console import Console

_ANY_ADDRESS = {"0.0.0.0": socket.AF_INET, "::": socket.AF_INET6}  # noqa: S104
# Documentation addresses (RFC 5737, RFC 3849): only a route is looked up, nothing is sent.
_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
_READING = '{"device":"car-7","engine_temperature":92.3}'


def create(client: redis.Redis, url: str, dashboard_url: str) -> None:
    """Create a token with all permissions; print its secret and how to use it.

    Args:
        client: of the deployment.
        url: the server, for this machine.
        dashboard_url: the dashboard for other devices; empty if they cannot reach it.
    """
    token = Token(secrets.token_hex(4), "first token, created by up", "*", SCOPES, utc_ms())
    secret = tokens.create(client, token)
    click.echo("tributary: created the first token, with all permissions; it is shown only once:")
    click.echo(secret)
    click.echo(f"record:    curl -H 'Authorization: Bearer {secret}' -d '{_READING}' {url}/record")
    link = qr_code.link(dashboard_url or url, secret)
    click.echo(f"dashboard: {link}")
    lines = qr_code.terminal_lines(link)
    from rich.console import Console  # noqa: PLC0415 (most starts create no token)

    console = Console()
    if dashboard_url and shows_codes(console) and console.width >= len(lines[0]):
        click.echo("to open it on a phone in this network, scan this code, which has the token:")
        click.echo("\n".join(map(qr_code.coloured, lines)), color=True)


def shows_codes(console: Console) -> bool:
    """Whether a terminal has block characters, and the colours that make them black on white."""
    has_colours = console.color_system in ("256", "truecolor") and not console.no_color
    return has_colours and console.encoding.startswith("utf")


def command(settings: Settings, *, is_embedded: bool) -> str:
    """The command that creates a token for this deployment, running or not."""
    place = (
        f"--data-dir {shlex.quote(settings.data_dir)}"
        if is_embedded
        else f"--redis-url {shlex.quote(redis_url.redacted(settings.redis_url))}"
    )
    return f"tributary token create --scope record --scope collect {place}"


def url(host: str, port: int) -> str:
    """The URL of the server for this and other machines, never `http://0.0.0.0`."""
    address = _address(host)
    return f"http://{f'[{address}]' if ':' in address else address}:{port}"


def _address(host: str) -> str:
    """The address of this machine in its network, if the server listens on all addresses."""
    family = _ANY_ADDRESS.get(host)
    if family is None:
        return host
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_ELSEWHERE[family], 9))
        except OSError:  # only the loopback
            return "127.0.0.1" if family is socket.AF_INET else "::1"
        return str(probe.getsockname()[0])
