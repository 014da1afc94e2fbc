"""The address of a broker: `mqtt://user:password@host:port`, also `mqtts`, `ws` and `wss`. Pure."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from tributary.errors import Misconfigured
from tributary.store.redis_url import redacted

_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}


class Broker(NamedTuple):
    """Where a broker is, and how to log in; `user` may be empty."""

    host: str
    port: int
    is_tls: bool
    websocket_path: str | None = None  # None: plain TCP
    user: str = ""
    password: str = ""

    @property
    def address(self) -> str:
        """Host and port, for logs."""
        return f"{self.host}:{self.port}"


def parse(url: str) -> Broker:
    """Parse the URL of a broker.

    Raises:
        Misconfigured: what is wrong; the message contains no password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Misconfigured(f"the URL of the broker is not valid: {error}") from None
    shown = redacted(url)
    if parts.scheme not in _PORTS:
        raise Misconfigured(
            f"broker {shown!r}: unsupported scheme {parts.scheme!r}; write "
            "mqtt://user:password@host:1883, mqtts://, ws:// or wss://"
        )
    if not parts.hostname:
        raise Misconfigured(f"broker {shown!r} names no host; write mqtt://host:1883")
    is_websocket = parts.scheme in ("ws", "wss")
    if parts.query or parts.fragment or (not is_websocket and parts.path not in ("", "/")):
        raise Misconfigured(
            f"broker {shown!r}: remove what follows the port; topics are given with --topic"
        )
    if parts.password is not None and not parts.username:
        raise Misconfigured(f"broker {shown!r} has a password and no user; add the user")
    return Broker(
        parts.hostname,
        port or _PORTS[parts.scheme],
        is_tls=parts.scheme in ("mqtts", "wss"),
        websocket_path=(parts.path or "/mqtt") if is_websocket else None,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )
