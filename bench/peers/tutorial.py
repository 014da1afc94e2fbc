"""A typical tutorial app, served under the same conditions as the other peers."""

from __future__ import annotations

import sys
from pathlib import Path

from bench import redis_server
from bench.http_request import Request
from bench.peers import payloads
from bench.peers.peer import Peer


class Tutorial(Peer):
    """`bench/peers/tutorial_app.py` under gunicorn with threads and keep-alive connections."""

    name = "tutorial app"
    needs = (redis_server.PROGRAM,)
    promise = "in the append-only file of Redis, flushed every second; not validated"

    def start(self, folder: Path) -> None:
        """Start Redis and one gunicorn worker with 8 threads, like Tributary."""
        self.with_redis(folder)
        self.serve(
            lambda port: [
                *(sys.executable, "-m", "gunicorn", "--worker-class", "gthread"),
                *("--workers", "1", "--threads", "8", "--keep-alive", "75"),
                *("--log-level", "error", "--bind", f"127.0.0.1:{port}"),
                "bench.peers.tutorial_app:app",
            ],
            folder,
            environ={"REDIS_PORT": str(self.redis_port)},
        )

    def request(self, case: str) -> Request | None:
        """A reading of a fleet in the same body."""
        if case != "fleet":
            return None
        return Request(
            "POST", "/record", payloads.FLEET, expected=b"true", numbers=payloads.FLEET_DEVICES
        )
