"""A TCP proxy in front of an HTTP server that cuts connections and drops responses."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter

_CHUNK_BYTES = 1 << 16
_LISTEN_BACKLOG = 64


class HttpProxy:
    """Forwards to 127.0.0.1:`port`; `inject` cuts one of the next requests for a path.

    Kinds: `before` (reset before the request is forwarded), `within` (reset after half of it is
    forwarded), `after` (forwarded, and reset instead of the response).
    """

    def __init__(self, port: int) -> None:
        self._upstream = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_LISTEN_BACKLOG)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.injected: Counter[str] = Counter()
        self.is_cut = False  # connections are reset, and new ones too
        self._pending: list[tuple[str, bytes]] = []
        self._sockets: set[socket.socket] = set()
        self._mutex = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def inject(self, kind: str, path: str = "/record") -> None:
        self._pending.append((kind, path.encode()))

    def has_injected(self) -> bool:
        return not self._pending

    def cut(self) -> None:
        self.is_cut = True
        self._reset_all()

    def heal(self) -> None:
        self.is_cut = False

    def close(self) -> None:
        self._listener.close()
        self._reset_all()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = None
        try:
            if self.is_cut:
                return
            server = socket.create_connection(self._upstream, 5)
            server.settimeout(None)
            with self._mutex:
                self._sockets |= {client, server}
            threading.Thread(target=self._pump, args=(server, client), daemon=True).start()
            while data := client.recv(_CHUNK_BYTES):
                kind = self._fault(data)
                if kind == "before":
                    return
                if kind == "after":
                    self._drop_reply(data, client)
                    return
                server.sendall(data[: len(data) // 2] if kind == "within" else data)
                if kind == "within":
                    return
        except OSError:
            return
        finally:
            for each in filter(None, (client, server)):
                self._reset(each)

    def _drop_reply(self, data: bytes, client: socket.socket) -> None:
        """Send a request, with its whole body, and reset once the response is there."""
        own = socket.create_connection(self._upstream, 5)
        own.settimeout(30)
        with own:
            head, _, body = data.partition(b"\r\n\r\n")
            length = next(
                (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n")
                 if line.startswith(b"content-length:")), 0,
            )  # fmt: skip
            own.sendall(data)
            missing = length - len(body)
            while missing > 0 and (more := client.recv(_CHUNK_BYTES)):
                own.sendall(more)
                missing -= len(more)
            assert own.recv(_CHUNK_BYTES)

    def _pump(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(_CHUNK_BYTES):
                client.sendall(data)
        self._reset(client)

    def _fault(self, data: bytes) -> str:
        for index, (kind, path) in enumerate(self._pending):
            if data.startswith(b"POST " + path):
                del self._pending[index]
                self.injected[kind] += 1
                return kind
        return ""

    def _reset_all(self) -> None:
        with self._mutex:
            for each in self._sockets:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def _reset(self, each: socket.socket) -> None:
        with self._mutex:
            self._sockets.discard(each)
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
