"""uvicorn's server, which also serves the connections that wait at its port when it stops."""

from __future__ import annotations

import asyncio
import socket

from uvicorn.server import Server

_ACCEPTED_MAX = 4_096  # more than the backlog of the port: clients that connect all the time


class DrainingServer(Server):
    """Closing a port resets the connections that wait in its backlog.

    Their clients have sent their requests. So the port stays open without a reader until they are
    taken, and is closed when there is none: what connects afterwards is refused, and has sent
    nothing.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take the waiting connections, close the port, and finish the requests."""
        ports = [each.dup() for each in sockets or ()]
        for server in self.servers:
            server.close()
        for port in ports:
            await self._take_waiting(port)
            port.close()
        await super().shutdown(sockets)

    async def _take_waiting(self, port: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        port.setblocking(False)
        for _ in range(_ACCEPTED_MAX):
            try:
                connection, _address = port.accept()
            except OSError:  # none, or the client has gone
                return
            connection.setblocking(False)
            await loop.connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self.config.http_protocol_class(
            config=self.config,  # type: ignore[call-arg]
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        return protocol
