"""A deployment under test: server, proxies, ingest, aggregators, senders with a ledger."""

from __future__ import annotations

import contextlib
import itertools
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
from support.processes import Process, Server, stopped, tributary
from support.senders import Style, Wire
from support.waiting import wait_until

from faults.proxy import Proxy
from faults.tree import free_port
from tributary.operate import status
from tributary.operate.status import Aggregator, Status
from tributary.settings import Settings
from tributary.store import keys, redis_client

_EMPTY: Mapping[str, str] = MappingProxyType({})
RECOVERY_TIMEOUT_S = 90.0
UNLIMITED = 1 << 40  # readings: send until stopped


class Unsupported(Exception):
    """This machine cannot inject a fault; the message says what is missing."""


class RigOptions(NamedTuple):
    """The deployment that a fault needs."""

    binary: str = ""  # server program; empty: the embedded Valkey
    server: Mapping[str, str] = MappingProxyType({"appendfsync": "always"})
    server_environ: Mapping[str, str] = _EMPTY
    ingest_environ: Mapping[str, str] = _EMPTY
    settings: Mapping[str, Any] = MappingProxyType({})
    aggregators: int = 2
    pause_s: float = 0.01  # of a sender between two requests
    is_keyed: bool = True  # senders retry with an Idempotency-Key, so nothing stays indeterminate
    folder: Path | None = None  # of the server's data; None: below the folder of the rig


class Rig:
    """A running deployment; the seed determines all random choices."""

    def __init__(
        self, folder: Path, seed: int, options: RigOptions, overrides: Mapping[str, Any] = _EMPTY
    ) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.folder = folder
        self.options = options
        self.recoveries_s: list[float] = []
        self.crashes_ms: list[int] = []  # UTC, when the server lost its unsynced writes
        self.notes: list[str] = []
        self.on_progress: Callable[[int], None] = lambda _: None
        self._stack = contextlib.ExitStack()
        try:
            self._start(overrides)
        except BaseException:
            self._stack.close()
            raise

    def _start(self, overrides: Mapping[str, Any]) -> None:
        options = self.options
        data = options.folder or self.folder / "redis"
        self.server = Server(data, options.binary, options.server_environ, **options.server)
        self._stack.callback(self.server.close)
        self.settings = msgspec.structs.replace(
            Settings(redis_url=self.server.url, heartbeat_ms=100, redis_timeout_ms=1000),
            **{
                "stream_max_entries": 10_000_000,
                "ingest_workers": 2,
                **options.settings,
                **overrides,
            },
        )
        self.ingest_proxy = self._proxy()
        self.aggregator_proxy = self._proxy()
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.processes: list[Process] = []
        self._stack.callback(self._kill_all)
        self.start_ingest()
        self.aggregators = [self.start_aggregator() for _ in range(options.aggregators)]
        self.wait_for_live_aggregators()
        style = Style((1, 2, 5), options.pause_s, options.is_keyed, timeout_s=5.0)
        path = self.folder / "ledger.jsonl"
        self.load = Load(self.url, path, readings=UNLIMITED, seed=self.seed, style=style)
        self._stack.callback(self.load.close)
        self._probe = Wire(self.url, self.load.ledger, style._replace(timeout_s=2.0))
        self._stack.callback(self._probe.close)
        self._probe_number = 0
        self._is_sending = True
        self._probes = device_of_each_partition("probe", self.settings.partitions)

    @property
    def client(self) -> redis.Redis:
        """A client of the server that bypasses the proxies."""
        return self.server.client

    def start_ingest(self, fail: str = "") -> None:
        """Start the ingest role on its fixed port, dying at a failpoint if one is given."""
        settings = msgspec.structs.replace(self.settings, redis_url=self.ingest_proxy.url)
        variables = {**environ(settings, fail), **self.options.ingest_environ}
        self.ingest = tributary("ingest", "--port", str(self._port), environ=variables)
        self.processes.append(self.ingest)
        is_up = lambda: self.ingest.popen.poll() is not None or self._is_listening()  # noqa: E731
        wait_until(is_up, "ingest", 60)

    def start_aggregator(self, fail: str = "") -> Process:
        """Start an aggregator, dying at a failpoint if one is given."""
        settings = msgspec.structs.replace(self.settings, redis_url=self.aggregator_proxy.url)
        started = tributary("aggregator", environ=environ(settings, fail))
        self.processes.append(started)
        return started

    def restart_ingest(self, fail: str = "") -> None:
        """Stop the ingest role with SIGTERM and start it again."""
        assert self.ingest.stop() == 0, self.ingest.text
        self.processes.remove(self.ingest)
        self.start_ingest(fail)

    def replace(self, dead: Process, fail: str = "") -> Process:
        """Kill an aggregator if it is still running, and start another in its place."""
        dead.kill()
        self.processes.remove(dead)
        index = self.aggregators.index(dead)
        self.aggregators[index] = self.start_aggregator(fail)
        return self.aggregators[index]

    def live_aggregators(self) -> list[Aggregator]:
        """The aggregators with a recent heartbeat."""
        return status.aggregators_alive(self.client, self.settings)

    def wait_for_live_aggregators(self, count: int | None = None) -> None:
        """Wait until `count` aggregators have a recent heartbeat; by default all of them."""
        expected = len(self.aggregators) if count is None else count
        what = f"{expected} live aggregators"
        wait_until(lambda: len(self.live_aggregators()) == expected, what, 60)

    @contextlib.contextmanager
    def suspended_aggregators(self, first: int = 0) -> Iterator[None]:
        """SIGSTOP the aggregators from index `first` on, and let them continue at the end."""
        with contextlib.ExitStack() as stack:
            for aggregator in self.aggregators[first:]:
                stack.enter_context(stopped(aggregator))
            yield

    def wait_for_refusal(self, timeout_s: float = 30.0) -> None:
        """Wait until another request gets a 503."""
        before = self.load.ledger.responses["503"]
        wait_until(lambda: self.load.ledger.responses["503"] > before, "a 503", timeout_s)

    def http_workers(self) -> list[int]:
        """Process ids of the HTTP workers behind the ingest role."""
        pid = self.ingest.pid
        try:
            return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except OSError:
            return []

    def kill_http_worker(self) -> None:
        """SIGKILL a random HTTP worker; the role replaces it."""
        victim = self.random.choice(wait_until(self.http_workers, "an HTTP worker"))
        os.kill(victim, 9)
        wait_until(lambda: victim not in self.http_workers(), "the worker to exit")

    def repeat(self, times: int) -> Iterator[int]:
        """The numbers of the injections of a fault; reports progress after each."""
        for number in range(times):
            yield number
            self.on_progress(1)

    def wait_for_recovery(self, since_s: float | None = None) -> None:
        """Wait until a new reading of every partition is accepted and visible; note the time."""
        since_s = time.monotonic() if since_s is None else since_s
        self.record_probes()
        wait_until(self._are_probes_visible, "a reading of each partition", RECOVERY_TIMEOUT_S)
        self.recoveries_s.append(time.monotonic() - since_s)

    def record_probes(self) -> None:
        """Record a new reading in each partition."""
        self._probe_number += 1
        for device in self._probes:
            self._record(device, self._probe_number)

    def burst(self, readings: int) -> None:
        """Record many readings of one probe device in one request."""
        device = self.random.choice(self._probes)
        self._probe_number += readings // 1000 + 1  # skip the numbers in use
        first = self._probe_number * 1000 - readings
        self._probe.send(Sent(device, first, first + readings - 1))

    def status(self) -> Status:
        """The status that Tributary reports, read without the proxies."""
        return status.read(self.client, self.settings)

    def drain(self) -> None:
        """Stop the senders, and wait until no entry is pending."""
        self._is_sending = False
        self.load.finish(RECOVERY_TIMEOUT_S)
        wait_until(lambda: self.status().pending == 0, "a drain", RECOVERY_TIMEOUT_S)

    def pause(self, seconds: float) -> None:
        """Leave the load running for a while."""
        threading.Event().wait(seconds)

    def wait_for_readings(self, readings: int = 200) -> None:
        """Wait until `readings` more are acknowledged."""
        if self._is_sending:
            self.load.wait_for(self.load.ledger.acknowledged + readings, RECOVERY_TIMEOUT_S)

    def close(self) -> None:
        """Stop all processes, senders and proxies."""
        self._stack.close()

    def _proxy(self) -> Proxy:
        proxy = Proxy(self.server.url, self.random.randrange(1 << 32))
        self._stack.callback(proxy.close)
        return proxy

    def _kill_all(self) -> None:
        for process in self.processes:
            process.kill()

    def _is_listening(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port), 1).close()
        except OSError:
            return False
        return True

    def _record(self, device: str, number: int) -> None:
        """Record a probe reading; each attempt sends another number."""
        until_s = time.monotonic() + RECOVERY_TIMEOUT_S
        attempt = 0
        while self._probe.send(
            Sent(device, number * 1000 + attempt, number * 1000 + attempt)
        ) not in {"ok", "dup"}:
            attempt += 1
            assert time.monotonic() < until_s, f"no reading of {device} was accepted"
            self.pause(0.01)

    def _are_probes_visible(self) -> bool:
        pipeline = self.client.pipeline(transaction=False)
        for partition, device in enumerate(self._probes):
            pipeline.hget(keys.latest(partition), device)
        visible = [json.loads(found) for found in pipeline.execute() if found]
        return len(visible) == len(self._probes) and all(
            document["current_seq"] >= self._probe_number * 1000 for document in visible
        )


def direct_client(rig: Rig) -> redis.Redis:
    """A client with a long timeout that bypasses the proxies, for checks."""
    return redis_client.connect(rig.settings, socket_timeout=60)


def device_of_each_partition(prefix: str, partitions: int) -> list[str]:
    """One device name per partition, in order of the partitions."""
    found: dict[int, str] = {}
    for name in (f"{prefix}-{number}" for number in itertools.count()):
        found.setdefault(keys.partition_of(name, partitions), name)
        if len(found) == partitions:
            break
    return [found[partition] for partition in range(partitions)]
