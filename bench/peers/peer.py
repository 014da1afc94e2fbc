"""What a measurement may ask of a peer, and the processes a peer owns."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import launch, machine, redis_server
from bench.http_request import Request, answers


class Peer(ABC):
    """A server that can be started empty, loaded with requests, and stopped.

    `needs` are the programs that must be there, `package` is what names the version, `promise`
    says what has happened to a reading when it is answered well.
    """

    name: str
    package: str = ""
    needs: tuple[str, ...] = ()
    promise: str = ""

    def __init__(self) -> None:
        self.url = ""
        self.redis_port = 0
        self.pid = 0
        self._stack = contextlib.ExitStack()

    @abstractmethod
    def start(self, folder: Path) -> None:
        """Start on empty storage below `folder`; return when it serves."""

    @abstractmethod
    def request(self, case: str) -> Request | None:
        """What is sent in a case, or None where the protocol has no such thing."""

    def stored(self) -> int | None:
        """Readings the store says it has taken, or None if it does not count them."""
        return None

    def notes(self) -> list[str]:
        """What a reader must know of this run to judge the figures."""
        return []

    def stop(self) -> None:
        """Stop everything that was started, the last first."""
        self._stack.close()

    def serve(
        self,
        command: Callable[[int], list[str]],
        folder: Path,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Run the server on its core, on a free port; return when it answers anything."""
        port = launch.free_port()
        self.url = f"http://127.0.0.1:{port}"
        log = folder / "server.log"
        pinned = machine.pinned(machine.SERVER_CORE, command(port))
        process = self._stack.enter_context(launch.process(pinned, log, environ))
        launch.wait_until_it_answers(lambda: answers(self.url), process, log)
        self.pid = process.pid

    def with_redis(self, folder: Path, *, rewrites: bool = False) -> None:
        """Give it a Redis of its own, on the core of the load."""
        self.redis_port = self._stack.enter_context(redis_server.server(folder, rewrites=rewrites))
