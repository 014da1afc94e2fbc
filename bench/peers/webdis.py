"""webdis: Redis commands over HTTP, in C."""

from __future__ import annotations

import json
from pathlib import Path

from bench import prefill, redis_server
from bench.http_request import Request
from bench.peers import payloads
from bench.peers.peer import Peer
from bench.peers.tributary_peer import ENTRIES_MAX

_STREAM, _LATEST = "readings", "latest"
_POOL = 20


class Webdis(Peer):
    """One thread, a connection pool, and the same Redis as Tributary."""

    name = "webdis"
    package = "webdis"
    needs = ("webdis", redis_server.PROGRAM)
    promise = "in the append-only file of Redis, flushed every second; not validated"

    def __init__(self, *, devices: int = 0) -> None:
        super().__init__()
        self._devices = devices
        if devices:
            self.promise = "the stored field"

    def start(self, folder: Path) -> None:
        """Start Redis and webdis."""
        self.with_redis(folder)
        with redis_server.connect(self.redis_port) as client:
            prefill.write(client, self._devices, lambda _: _LATEST)
        config = folder / "webdis.json"

        def command(port: int) -> list[str]:
            options = {
                "redis_host": "127.0.0.1", "redis_port": self.redis_port,
                "http_host": "127.0.0.1", "http_port": port, "threads": 1, "pool_size": _POOL,
                "daemonize": False, "database": 0, "acl": [], "verbosity": 1,
                "logfile": str(folder / "webdis.log"),
            }  # fmt: skip
            config.write_text(json.dumps(options))
            return ["webdis", str(config)]

        self.serve(command, folder)

    def request(self, case: str) -> Request | None:
        """XADD of the body as one field; HGET of what /collect returns."""
        path = f"/XADD/{_STREAM}/MAXLEN/~/{ENTRIES_MAX}/*/r"
        one = Request("PUT", path, payloads.ONE, expected=b'{"XADD":"')
        field = Request("GET", f"/HGET/{_LATEST}/{payloads.DEVICE}", expected=b"92.3")
        return {
            "single": one,
            "fleet": one._replace(body=payloads.FLEET, numbers=payloads.FLEET_DEVICES),
            "collect": field,
            "collect fleet": field._replace(path=f"/HGET/{_LATEST}/car-", numbers=self._devices),
        }.get(case)

    def stored(self) -> int | None:
        """The length of the untrimmed stream; None if nothing is written."""
        if self._devices:
            return None
        with redis_server.connect(self.redis_port) as client:
            return int(client.xlen(_STREAM))
