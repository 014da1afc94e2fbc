"""The listening socket of the HTTP server, opened before the processes that accept on it."""

from __future__ import annotations

import socket

from tributary.errors import Misconfigured

_BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, which child processes can inherit.

    Raises:
        Misconfigured: the address cannot be used.
    """
    try:
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        raise Misconfigured(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port"
        ) from None
    return listener
