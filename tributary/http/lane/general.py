"""Every request without a route in the lane: uvicorn's protocol and, behind it, Flask.

It gets one complete request at a time, on a transport that leads back to the connection. So
order, limits and deadlines stay with the connection, and no thread waits for a slow client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

Notify = Callable[[], None]


class GeneralServer(HttpToolsProtocol):
    """uvicorn's side of one connection; it keeps no time itself.

    Args:
        transport: of the client.
        on_response: called when a response is complete.
        on_close: called when the connection must close after the response.
        uvicorn: the arguments that uvicorn's server makes a protocol with.
    """

    def __init__(
        self, transport: asyncio.Transport, on_response: Notify, on_close: Notify, uvicorn: Any
    ) -> None:
        super().__init__(*uvicorn)
        self._on_response = on_response
        self.connections = set()  # uvicorn's own set has the connection of the lane
        self.connection_made(_LentTransport(transport, on_close))

    def on_response_complete(self) -> None:
        """Continue with the connection's next request."""
        super().on_response_complete()
        self._unset_keepalive_if_required()
        self._on_response()


class _LentTransport(asyncio.Transport):
    """Writes to the client, but leaves reading and closing to the connection."""

    def __init__(self, transport: asyncio.Transport, on_close: Notify) -> None:
        super().__init__()
        self._transport = transport
        self._on_close = on_close

    def write(self, data: Any) -> None:
        self._transport.write(data)

    def close(self) -> None:
        self._on_close()

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
