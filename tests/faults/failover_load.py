"""The roles and senders of a failover, and the comparison of their ledger with the data."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

import redis
from support.ledger import Ledger, Verdict, verify
from support.pipeline import SERVING, environ
from support.processes import Process, tributary
from support.senders import Sender, Style
from support.waiting import wait_until

from tributary.operate import status
from tributary.operate.status import Status
from tributary.settings import Settings
from tributary.store import redis_client

Level = Literal["memory", "aof", "fsync", "replicated"]
LEVELS: tuple[Level, ...] = get_args(Level)
TIMEOUT_S = 60.0
PARTITIONS = 4
STYLE = Style((1, 2, 5), pause_s=0.005, is_keyed=True, timeout_s=5.0)
# Of each server, by durability level.
CONFIG = MappingProxyType({
    "memory": {"appendonly": "no"},
    "aof": {"appendfsync": "everysec"},
    "fsync": {"appendfsync": "always"},
    "replicated": {"appendfsync": "always"},
})  # fmt: skip
_SENDERS = 8
_DEVICES = 400
_UNLIMITED = 1 << 40  # readings


class Load:
    """Ingest with two workers, two aggregators, and senders with a ledger."""

    def __init__(
        self,
        folder: Path,
        redis_url: str,
        level: Level,
        seed: int,
        *,
        style: Style = STYLE,
        **overrides: object,
    ) -> None:
        """Start them, and wait until readings are accepted; `overrides`: other settings."""
        self._style = style
        values: dict[str, Any] = {
            "partitions": PARTITIONS, "heartbeat_ms": 100, "redis_timeout_ms": 1000, "ingest_workers": 2,
            "stream_max_entries": 10_000_000, **overrides,
        }  # fmt: skip
        self.settings = Settings(redis_url=redis_url, durability=level, **values)
        self._seed = seed
        self._folder = folder
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(self.close)
            self._start()
            cleanup.pop_all()

    def close(self) -> None:
        """Stop all processes and senders."""
        self._stack.close()

    def _start(self) -> None:
        for _ in range(2):
            self.run("aggregator")
        self.url = str(self.run("ingest", "--port", "0").wait_for(SERVING)[1])
        self.ledger = Ledger(self._folder / "ledger.jsonl")
        self._stack.callback(self.ledger.close)
        self.senders = [self._sender(number) for number in range(_SENDERS)]
        for sender in self.senders:
            self._stack.callback(sender.wire.is_abandoned.set)
            sender.start()
        wait_until(
            lambda: self.ledger.acknowledged > _DEVICES, "readings to be accepted", TIMEOUT_S
        )

    def run(self, *arguments: str, **variables: str) -> Process:
        """Start a role, until the end."""
        process = tributary(*arguments, environ={**environ(self.settings), **variables})
        self._stack.callback(self._end, process, f"{arguments[0]}-{process.pid}.log")
        return process

    def _end(self, process: Process, log: str) -> None:
        process.kill()
        (self._folder / log).write_text(process.text)

    def _sender(self, number: int) -> Sender:
        devices = [f"car-{device}" for device in range(number, _DEVICES, _SENDERS)]
        seed = self._seed * _SENDERS + number
        return Sender(
            self.url, self.ledger, devices, readings=_UNLIMITED, seed=seed, style=self._style
        )

    def finish(self) -> Verdict:
        """Stop the senders, wait for the drain, and compare the ledger with the data."""
        for sender in self.senders:
            sender.giving_up.set()
        for sender in self.senders:
            sender.join(2 * TIMEOUT_S)
        wait_until(lambda: self.status().pending == 0, "a drain", TIMEOUT_S)
        with self._client() as client:
            return verify(self.ledger, client, self.settings)

    def status(self) -> Status:
        """The status that Tributary reports."""
        with self._client() as client:
            return status.read(client, self.settings)

    @contextlib.contextmanager
    def _client(self) -> Iterator[redis.Redis]:
        client = redis_client.connect(self.settings, socket_timeout=TIMEOUT_S)
        try:
            yield client
        finally:
            client.close()


def violations(level: Level, verdict: Verdict) -> list[str]:
    """Violations of what every level guarantees, and of what this one does."""
    found = list(verdict.miscounted)
    if verdict.duplicated:
        found.append(f"{verdict.duplicated} readings are stored twice")
    if verdict.unexpected:
        found.append(f"{verdict.unexpected} readings that were refused are stored")
    if verdict.lost and level == "replicated":
        found.append(f"{verdict.lost} readings that a replica had confirmed are lost")
    return found
