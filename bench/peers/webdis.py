"""webdis: Redis commands over HTTP, in C."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

from bench import prefill, redis_server
from bench.http_request import Request
from bench.peers import payloads
from bench.peers.peer import Peer
from bench.peers.tributary_peer import ENTRIES_MAX
from tributary.settings import Settings
from tributary.store import keys

_STREAM = "readings"
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
        prefill.write(self.redis_port, self._devices)
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
        """XADD of the body as one field; HGET from the hash that /collect reads."""
        if case == "single":
            path = f"/XADD/{_STREAM}/MAXLEN/~/{ENTRIES_MAX}/*/r"
            return Request("PUT", path, payloads.ONE, expected=b'{"XADD":"')
        if case == "collect":
            partition = keys.partition_of(payloads.DEVICE, Settings().partitions)
            key = quote(keys.latest(partition), safe="")
            return Request("GET", f"/HGET/{key}/{payloads.DEVICE}", expected=b"92.3")
        return None

    def stored(self) -> int | None:
        """The length of the untrimmed stream; None if nothing is written."""
        if self._devices:
            return None
        with redis_server.connect(self.redis_port) as client:
            return int(client.xlen(_STREAM))
