"""Everything that is not a hot route: uvicorn's protocol and, behind it, Flask.

A well-kept server does the general case. It is given one whole request at a time on a
transport that leads back here, so that order, limits and deadlines of the connection stay
with the lane, and no thread ever waits for a slow client's body.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from tributary.http.lane.connection import Connection


class General:
    """uvicorn's side of one connection."""

    def __init__(self, connection: Connection, transport: asyncio.Transport, uvicorn: Any) -> None:
        self._protocol = _Protocol(connection, *uvicorn)
        self._protocol.connection_made(_Lent(connection, transport))

    def serve(self, raw: bytes) -> None:
        """Answer one whole request; `connection.general_done` is called at its end."""
        self._protocol.data_received(raw)

    def lost(self, error: Exception | None) -> None:
        """The client is gone."""
        self._protocol.connection_lost(error)

    def pause_writing(self) -> None:
        """The client does not read its answer."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._protocol.resume_writing()


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which tells when a response is complete and keeps no time itself."""

    def __init__(
        self, connection: Connection, config: Any, server_state: Any, app_state: Any, loop: Any
    ) -> None:
        super().__init__(config, server_state, app_state, loop)
        self._connection = connection
        self.connections = set()  # the lane's connection stands for both in uvicorn's list

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._unset_keepalive_if_required()
        self._connection.general_done()


class _Lent(asyncio.Transport):
    """A transport that writes to the client but leaves reading and closing to the lane."""

    def __init__(self, connection: Connection, transport: asyncio.Transport) -> None:
        super().__init__()
        self._connection = connection
        self._transport = transport

    def write(self, data: Any) -> None:
        self._transport.write(data)

    def close(self) -> None:
        self._connection.end_after_general()

    def abort(self) -> None:
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Reading is the lane's."""

    def resume_reading(self) -> None:
        """Reading is the lane's."""
