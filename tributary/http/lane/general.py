"""Every request without a route in the lane: uvicorn's protocol and, behind it, Flask.

It gets one complete request at a time, on a transport that leads back to the connection. So
order, limits and deadlines stay with the connection, and no thread waits for a slow client.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Owner(Protocol):
    """The connection, as the general server sees it."""

    def general_done(self) -> None:
        """Called when a response is complete."""

    def general_closes(self) -> None:
        """Called when the connection must close after the response."""


class GeneralServer(HttpToolsProtocol):
    """uvicorn's side of one connection; it keeps no time itself.

    Args:
        owner: notified at the end of each response.
        transport: of the client.
        uvicorn: the arguments that uvicorn's server makes a protocol with.
    """

    def __init__(self, owner: Owner, transport: asyncio.Transport, uvicorn: Any) -> None:
        super().__init__(*uvicorn)
        self._owner = owner
        self.connections = set()  # uvicorn's own set has the connection of the lane
        self.connection_made(_LentTransport(owner, transport))

    def on_response_complete(self) -> None:
        """Continue with the connection's next request."""
        super().on_response_complete()
        self._unset_keepalive_if_required()
        self._owner.general_done()


class _LentTransport(asyncio.Transport):
    """Writes to the client, but leaves reading and closing to the connection."""

    def __init__(self, owner: Owner, transport: asyncio.Transport) -> None:
        super().__init__()
        self._owner = owner
        self._transport = transport

    def write(self, data: Any) -> None:
        self._transport.write(data)

    def close(self) -> None:
        self._owner.general_closes()

    def abort(self) -> None:
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Reading is paused by the connection."""

    def resume_reading(self) -> None:
        """Reading is resumed by the connection."""
