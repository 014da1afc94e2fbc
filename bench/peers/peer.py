"""The interface of a peer, and the processes that it owns."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import launch, machine, redis_server
from bench.http_request import Request, is_responding


class Peer(ABC):
    """A server that can be started empty, measured, and stopped.

    `needs` are the programs that must be installed, `package` is the Debian package whose version
    is reported, `promise` is what a successful response guarantees.
    """

    name: str
    package: str = ""
    needs: tuple[str, ...] = ()
    promise: str = ""
    # Whether it goes on with its work when a load has ended, and would disturb other measurements.
    outlasts_load: bool = False

    def __init__(self) -> None:
        self.url = ""
        self.redis_port = 0
        self.pid = 0
        self._stack = contextlib.ExitStack()

    @abstractmethod
    def start(self, folder: Path) -> None:
        """Start with empty storage below `folder`; returns when ready."""

    @abstractmethod
    def request(self, case: str) -> Request | None:
        """The request of a case, or None if the protocol does not support it."""

    def stored(self) -> int | None:
        """Readings stored, or None if the peer does not count them."""
        return None

    def redis_usage(self) -> redis_server.Usage | None:
        """What its Redis has used; None if it has none."""
        if not self.redis_port:
            return None
        with redis_server.connect(self.redis_port) as client:
            return redis_server.usage(client)

    def notes(self) -> list[str]:
        """Conditions of this run for the report."""
        return []

    def stop(self) -> None:
        """Stop all processes in reverse order."""
        self._stack.close()

    def serve(
        self,
        command: Callable[[int], list[str]],
        folder: Path,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Run the server on its core and a free port; returns when it responds."""
        port = launch.free_port()
        self.url = f"http://127.0.0.1:{port}"
        log = folder / "server.log"
        pinned = machine.pin(machine.SERVER_CORE, command(port))
        process = self._stack.enter_context(launch.process(pinned, log, environ))
        launch.wait_until_ready(lambda: is_responding(self.url), process, log)
        self.pid = process.pid

    def with_redis(self, folder: Path, *, rewrites: bool = False) -> None:
        """Start a Redis server for this peer on the load core."""
        self.redis_port = self._stack.enter_context(redis_server.start(folder, rewrites=rewrites))
