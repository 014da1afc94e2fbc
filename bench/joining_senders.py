"""Senders of the joining benchmark: a fleet of new devices, and known devices."""

from __future__ import annotations

import http.client
import itertools
import json
import sys
import threading
import time

import redis

from tributary.settings import Settings
from tributary.store import keys

PARTITIONS = Settings().partitions
_POLL_S, _PAUSE_S = 0.005, 0.01
_SENDERS = 2
_IDLE_S = 5.0  # after which a connection is reopened


class Fleet(threading.Thread):
    """New devices, several per request."""

    def __init__(
        self, url: str, devices: int, metrics: int, per_request: int, rounds: int = 1
    ) -> None:
        super().__init__(daemon=True)
        self.devices, self.sent, self.took_s = devices, 0, 0.0
        self.readings = devices * rounds
        self.statuses: dict[int, int] = {}
        self.stopping = threading.Event()
        self._url, self._per_request = url, per_request
        self._values = {f"m{number:02}": 1.5 for number in range(metrics)}
        self._lock = threading.Lock()
        self._firsts = itertools.chain.from_iterable(
            range(0, devices, per_request) for _ in range(rounds)
        )

    def run(self) -> None:
        """Record all of them (called by the thread)."""
        began_s = time.monotonic()
        senders = [threading.Thread(target=self._send, daemon=True) for _ in range(_SENDERS)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        self.took_s = time.monotonic() - began_s

    def stop(self) -> None:
        """Stop sending."""
        self.stopping.set()
        self.join(60)

    def _send(self) -> None:
        connection = http.client.HTTPConnection(self._url, timeout=60)
        while not self.stopping.is_set():
            with self._lock:
                first = next(self._firsts, None)
            if first is None:
                return
            numbers = range(first, min(first + self._per_request, self.devices))
            body = json.dumps([{"device": f"car-{n}", **self._values} for n in numbers])
            while not self.stopping.is_set():
                connection.request("POST", "/record", body)
                response = connection.getresponse()
                text = response.read()
                self.statuses[response.status] = self.statuses.get(response.status, 0) + 1
                if response.status == http.client.OK or b"too_many_series" in text:
                    break
                if response.status < http.client.INTERNAL_SERVER_ERROR:
                    sys.exit(f"bench: {response.status} {text!r:.300}")
                self.stopping.wait(float(response.headers.get("Retry-After", 1)))
            self.sent += len(numbers)


class KnownDevices(threading.Thread):
    """One known device per partition, and how long its readings wait."""

    def __init__(self, url: str, redis_url: str) -> None:
        super().__init__(daemon=True)
        self.rejected = 0
        self._connection = http.client.HTTPConnection(url, timeout=60)
        self._client = redis.Redis.from_url(redis_url, socket_timeout=60)
        self._devices = _device_of_each_partition()
        self._numbers = itertools.count(1)
        self._outstanding: dict[int, tuple[int, float]] = {}  # partition → number, accepted at
        self._waits_ms: list[float] = []
        self._recorded_at_s = 0.0
        self._stopping = threading.Event()

    def introduce(self, *, wait: bool) -> None:
        """Record one reading of each device."""
        for partition in range(PARTITIONS):
            self._record(partition)
        while wait and self._outstanding:
            self._poll()
            time.sleep(_POLL_S)
        self._outstanding.clear()
        self._waits_ms.clear()

    def run(self) -> None:
        """Record and poll until stopped (called by the thread)."""
        for partition in itertools.cycle(range(PARTITIONS)):
            if self._stopping.is_set():
                return
            if partition not in self._outstanding:
                self._record(partition)
            until_s = time.monotonic() + _PAUSE_S
            while time.monotonic() < until_s:
                self._poll()
                time.sleep(_POLL_S)

    def stop(self) -> list[float]:
        """Stop; returns the wait of each reading in ms, including those still waiting."""
        self._stopping.set()
        self.join(60)
        self._poll()
        now_s = time.monotonic()
        return self._waits_ms + [(now_s - at_s) * 1000 for _, at_s in self._outstanding.values()]

    def _record(self, partition: int) -> None:
        number = next(self._numbers)
        body = json.dumps({"device": self._devices[partition], "seq": number})
        if time.monotonic() - self._recorded_at_s > _IDLE_S:
            self._connection.close()  # the server may have closed it; the next request reconnects
        self._connection.request("POST", "/record", body)
        response = self._connection.getresponse()
        response.read()
        self._recorded_at_s = time.monotonic()
        if response.status != http.client.OK:
            self.rejected += 1
            return
        self._outstanding[partition] = number, time.monotonic()

    def _poll(self) -> None:
        pipeline = self._client.pipeline(transaction=False)
        waiting = list(self._outstanding.items())
        for partition, _ in waiting:
            pipeline.hget(keys.latest(partition), self._devices[partition])
        documents = pipeline.execute()
        now_s = time.monotonic()
        for (partition, (number, at_s)), text in zip(waiting, documents, strict=True):
            if text and json.loads(text)["current_seq"] >= number:
                self._waits_ms.append((now_s - at_s) * 1000)
                del self._outstanding[partition]


def _device_of_each_partition() -> list[str]:
    found: dict[int, str] = {}
    for number in itertools.count():
        name = f"known-{number}"
        found.setdefault(keys.partition_of(name, PARTITIONS), name)
        if len(found) == PARTITIONS:
            return [found[partition] for partition in range(PARTITIONS)]
    raise AssertionError
