"""The senders while a fleet joins: new devices, and some that were there before."""

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
_IDLE_S = 5.0  # of a connection


class Fleet(threading.Thread):
    """Devices that nobody has heard of before, a number of them to a request."""

    def __init__(
        self, url: str, devices: int, metrics: int, per_request: int, rounds: int = 1
    ) -> None:
        super().__init__(daemon=True)
        self.devices, self.sent, self.took_s = devices, 0, 0.0
        self.readings = devices * rounds
        self.answers: dict[int, int] = {}
        self.is_over = threading.Event()
        self._url, self._per_request = url, per_request
        self._values = {f"m{number:02}": 1.5 for number in range(metrics)}
        self._lock = threading.Lock()
        self._firsts = itertools.chain.from_iterable(
            range(0, devices, per_request) for _ in range(rounds)
        )

    def run(self) -> None:
        """Record them all (called by the thread)."""
        began_s = time.monotonic()
        senders = [threading.Thread(target=self._send, daemon=True) for _ in range(_SENDERS)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        self.took_s = time.monotonic() - began_s

    def stop(self) -> None:
        """Send nothing more."""
        self.is_over.set()
        self.join(60)

    def _send(self) -> None:
        wire = http.client.HTTPConnection(self._url, timeout=60)
        while not self.is_over.is_set():
            with self._lock:
                first = next(self._firsts, None)
            if first is None:
                return
            numbers = range(first, min(first + self._per_request, self.devices))
            body = json.dumps([{"device": f"car-{n}", **self._values} for n in numbers])
            while not self.is_over.is_set():
                wire.request("POST", "/record", body)
                answer = wire.getresponse()
                text = answer.read()
                self.answers[answer.status] = self.answers.get(answer.status, 0) + 1
                if answer.status == http.client.OK or b"too_many_series" in text:
                    break
                if answer.status < http.client.INTERNAL_SERVER_ERROR:
                    sys.exit(f"bench: {answer.status} {text!r:.300}")
                self.is_over.wait(float(answer.headers.get("Retry-After", 1)))
            self.sent += len(numbers)


class Known(threading.Thread):
    """One device of each partition that was there before, and how long its readings wait."""

    def __init__(self, url: str, redis_url: str) -> None:
        super().__init__(daemon=True)
        self.refused = 0
        self._wire = http.client.HTTPConnection(url, timeout=60)
        self._client = redis.Redis.from_url(redis_url, socket_timeout=60)
        self._devices = _one_of_each()
        self._numbers = itertools.count(1)
        self._outstanding: dict[int, tuple[int, float]] = {}  # partition → number, when accepted
        self._waits_ms: list[float] = []
        self._recorded_at_s = 0.0
        self._is_over = threading.Event()

    def introduce(self, *, wait: bool) -> None:
        """Let each device record once."""
        for partition in range(PARTITIONS):
            self._record(partition)
        while wait and self._outstanding:
            self._look()
            time.sleep(_POLL_S)
        self._outstanding.clear()
        self._waits_ms.clear()

    def run(self) -> None:
        """Record and look, until stopped (called by the thread)."""
        for partition in itertools.cycle(range(PARTITIONS)):
            if self._is_over.is_set():
                return
            if partition not in self._outstanding:
                self._record(partition)
            until_s = time.monotonic() + _PAUSE_S
            while time.monotonic() < until_s:
                self._look()
                time.sleep(_POLL_S)

    def stop(self) -> list[float]:
        """How long each reading has waited, or does so far, in ms."""
        self._is_over.set()
        self.join(60)
        self._look()
        now_s = time.monotonic()
        return self._waits_ms + [(now_s - at_s) * 1000 for _, at_s in self._outstanding.values()]

    def _record(self, partition: int) -> None:
        number = next(self._numbers)
        body = json.dumps({"device": self._devices[partition], "seq": number})
        if time.monotonic() - self._recorded_at_s > _IDLE_S:
            self._wire.close()  # the server may have; it connects again by itself
        self._wire.request("POST", "/record", body)
        answer = self._wire.getresponse()
        answer.read()
        self._recorded_at_s = time.monotonic()
        if answer.status != http.client.OK:
            self.refused += 1
            return
        self._outstanding[partition] = number, time.monotonic()

    def _look(self) -> None:
        asked = self._client.pipeline(transaction=False)
        wanted = list(self._outstanding.items())
        for partition, _ in wanted:
            asked.hget(keys.latest(partition), self._devices[partition])
        documents = asked.execute()
        now_s = time.monotonic()
        for (partition, (number, at_s)), text in zip(wanted, documents, strict=True):
            if text and json.loads(text)["current_seq"] >= number:
                self._waits_ms.append((now_s - at_s) * 1000)
                del self._outstanding[partition]


def _one_of_each() -> list[str]:
    found: dict[int, str] = {}
    for number in itertools.count():
        name = f"known-{number}"
        found.setdefault(keys.partition_of(name, PARTITIONS), name)
        if len(found) == PARTITIONS:
            return [found[partition] for partition in range(PARTITIONS)]
    raise AssertionError
