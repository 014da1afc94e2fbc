"""A deployment under test: server, proxies, ingest, aggregators, senders with a ledger."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import redis
from support.ledger import Sent
from support.pipeline import Load, environ
from support.processes import Process, Server, tributary
from support.senders import Style, Wire
from support.waiting import wait_until

from faults.proxy import Proxy
from tributary.operate import status
from tributary.operate.status import Aggregator, Status
from tributary.settings import Settings
from tributary.store import keys, redis_client

_NOTHING: Mapping[str, str] = MappingProxyType({})
RECOVERY_PATIENCE_S = 90.0
ENOUGH = 1 << 40  # readings: until told to stop


class Needs(NamedTuple):
    """What a fault wants of its deployment."""

    binary: str = ""  # of the server; empty: the embedded Valkey
    server: Mapping[str, str] = MappingProxyType({"appendfsync": "always"})
    server_environ: Mapping[str, str] = _NOTHING
    ingest_environ: Mapping[str, str] = _NOTHING
    settings: Mapping[str, Any] = MappingProxyType({})
    aggregators: int = 2
    pause_s: float = 0.01
    is_keyed: bool = True  # senders retry by Idempotency-Key: nothing stays indeterminate
    folder: Path | None = None  # of the server's data, if it is a particular one


class Stand:
    """One deployment, until closed; everything random in it comes from the seed."""

    def __init__(
        self, folder: Path, seed: int, needs: Needs, given: Mapping[str, Any] = _NOTHING
    ) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.folder = folder
        self.needs = needs
        self.recoveries_s: list[float] = []
        self.crashes_ms: list[int] = []  # UTC, of a server that has forgotten its last writes
        self.notes: list[str] = []
        self.on_progress: Callable[[int], None] = lambda _: None
        self._stack = contextlib.ExitStack()
        try:
            self._start(given)
        except BaseException:
            self._stack.close()
            raise

    def _start(self, given: Mapping[str, Any]) -> None:
        needs = self.needs
        data = needs.folder or self.folder / "redis"
        self.server = Server(data, needs.binary, needs.server_environ, **needs.server)
        self._stack.callback(self.server.close)
        self.settings = msgspec.structs.replace(
            Settings(redis_url=self.server.url, heartbeat_ms=100, redis_timeout_ms=1000),
            **{"stream_max_entries": 10_000_000, "ingest_workers": 2, **needs.settings, **given},
        )
        self.to_ingest = self._proxy()
        self.to_aggregators = self._proxy()
        self._port = _free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.processes: list[Process] = []
        self._stack.callback(self._kill_all)
        self.http = self.start_http()
        self.aggregators = [self.start_aggregator() for _ in range(needs.aggregators)]
        wait_until(lambda: len(self.alive()) == needs.aggregators, "the aggregators", 60)
        style = Style((1, 2, 5), needs.pause_s, needs.is_keyed, timeout_s=5.0)
        path = self.folder / "ledger.jsonl"
        self.load = Load(self.url, path, readings=ENOUGH, seed=self.seed, style=style)
        self._stack.callback(self.load.close)
        self._probe = Wire(self.url, self.load.ledger, style._replace(timeout_s=2.0))
        self._stack.callback(self._probe.close)
        self._probed = 0
        self._is_sending = True
        self._probes = _device_of_each(self.settings.partitions)

    @property
    def client(self) -> redis.Redis:
        """Straight to the server, past the proxies."""
        return self.server.client

    def start_http(self, fail: str = "", extra: Mapping[str, str] = _NOTHING) -> Process:
        """Start the ingest role, always on the same port; it takes a moment to serve."""
        settings = msgspec.structs.replace(self.settings, redis_url=self.to_ingest.url)
        variables = {**environ(settings, fail), **self.needs.ingest_environ, **extra}
        started = tributary("ingest", "--port", str(self._port), environ=variables)
        self.processes.append(started)
        wait_until(lambda: started.popen.poll() is not None or self._serves(), "ingest", 60)
        self.http = started
        return started

    def start_aggregator(self, fail: str = "") -> Process:
        """Start an aggregator."""
        settings = msgspec.structs.replace(self.settings, redis_url=self.to_aggregators.url)
        started = tributary("aggregator", environ=environ(settings, fail))
        self.processes.append(started)
        return started

    def restart_http(self, fail: str = "", extra: Mapping[str, str] = _NOTHING) -> None:
        """SIGTERM the ingest role, and start it again."""
        assert self.http.stop() == 0, self.http.text
        self.processes.remove(self.http)
        self.start_http(fail, extra)

    def replace(self, dead: Process, fail: str = "") -> Process:
        """Start an aggregator in the place of one that has died."""
        dead.kill()
        self.processes.remove(dead)
        place = self.aggregators.index(dead)
        self.aggregators[place] = self.start_aggregator(fail)
        return self.aggregators[place]

    def alive(self) -> list[Aggregator]:
        """The aggregators whose heartbeat is fresh."""
        return status.aggregators_alive(self.client, self.settings)

    def http_workers(self) -> list[int]:
        """Process ids of the HTTP workers behind the ingest role."""
        pid = self.http.pid
        try:
            return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except OSError:
            return []

    def kill_http_worker(self) -> None:
        """SIGKILL one HTTP worker; the role starts another by itself."""
        before = wait_until(self.http_workers, "an HTTP worker")
        chosen = self.random.choice(before)
        os.kill(chosen, 9)
        wait_until(lambda: chosen not in self.http_workers(), "the worker to be gone")

    def recovers(self, since_s: float | None = None) -> float:
        """Wait until every partition takes a new reading and shows it; the seconds since."""
        since_s = time.monotonic() if since_s is None else since_s
        self.record_probes()
        wait_until(self._shows_probes, "a reading of each partition", RECOVERY_PATIENCE_S)
        self.recoveries_s.append(time.monotonic() - since_s)
        return self.recoveries_s[-1]

    def record_probes(self) -> None:
        """Have a new reading of each partition accepted."""
        self._probed += 1
        for device in self._probes:
            self._record(device, self._probed)

    def burst(self, readings: int) -> None:
        """Have many readings of one probe device accepted in one request."""
        device = self.random.choice(self._probes)
        self._probed += readings // 1000 + 1  # keep clear of the numbers in use
        first = self._probed * 1000 - readings
        self._probe.send(Sent(device, first, first + readings - 1))

    def status(self) -> Status:
        """What Tributary itself says, asked past the proxies."""
        return status.read(self.client, self.settings)

    def drain(self, patience_s: float = RECOVERY_PATIENCE_S) -> None:
        """Let the senders finish, and wait until nothing is pending."""
        self._is_sending = False
        self.load.finish(RECOVERY_PATIENCE_S)
        wait_until(
            lambda: self.status().pending == 0, "all accepted to be accounted for", patience_s
        )

    def wait(self, seconds: float) -> None:
        """Let the load run for a while."""
        threading.Event().wait(seconds)

    def settle_load(self, readings: int = 200) -> None:
        """Let the load get so many readings through."""
        if self._is_sending:
            self.load.wait_for(self.load.ledger.acknowledged + readings, RECOVERY_PATIENCE_S)

    def close(self) -> None:
        """Stop everything."""
        self._stack.close()

    def _proxy(self) -> Proxy:
        proxy = Proxy(self.server.url, self.random.randrange(1 << 32))
        self._stack.callback(proxy.close)
        return proxy

    def _kill_all(self) -> None:
        for process in self.processes:
            process.kill()

    def _serves(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port), 1).close()
        except OSError:
            return False
        return True

    def _record(self, device: str, number: int) -> None:
        """Have a probe reading accepted; what a failed attempt sent is another number."""
        until_s = time.monotonic() + RECOVERY_PATIENCE_S
        attempt = 0
        while self._probe.send(
            Sent(device, number * 1000 + attempt, number * 1000 + attempt)
        ) not in {"ok", "dup"}:
            attempt += 1
            assert time.monotonic() < until_s, f"no reading of {device} was accepted"
            self.wait(0.01)

    def _shows_probes(self) -> bool:
        asked = self.client.pipeline(transaction=False)
        for partition, device in enumerate(self._probes):
            asked.hget(keys.latest(partition), device)
        shown = [json.loads(found) for found in asked.execute() if found]
        return len(shown) == len(self._probes) and all(
            document["current_seq"] >= self._probed * 1000 for document in shown
        )


@contextlib.contextmanager
def standing(
    folder: Path, seed: int, needs: Needs, given: Mapping[str, Any] = _NOTHING
) -> Iterator[Stand]:
    """A deployment for a while."""
    stand = Stand(folder, seed, needs, given)
    try:
        yield stand
    finally:
        stand.close()


def direct(stand: Stand) -> redis.Redis:
    """A patient client past the proxies, for the oracle."""
    return redis_client.connect(stand.settings, socket_timeout=60)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _device_of_each(partitions: int) -> list[str]:
    """A probe device of each partition, in their order."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < partitions:
        name = f"probe-{number}"
        found.setdefault(keys.partition_of(name, partitions), name)
        number += 1
    return [found[partition] for partition in range(partitions)]
