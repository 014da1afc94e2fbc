"""A deployment in containers under load, with the ledger of what was acknowledged."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import redis
from faults.reader import Reader
from support.ledger import Ledger, Verdict, verify
from support.senders import Sender, Style
from support.waiting import wait_until

from engine.stack import PASSWORD, Stack
from tributary.operate import status
from tributary.settings import Settings
from tributary.store import keys, redis_client

_SENDERS, _DEVICES = 3, 4  # of each sender
_UNLIMITED = 1 << 40  # readings
_DRAIN_S = 120.0
# With a key, and repeated until there is a response, as the clients of docs/clients.md do.
REPEATED = Style((1, 2, 5), pause_s=0.005, is_keyed=True, timeout_s=15.0)
# As most clients send: no key, and no second attempt.
ONCE = REPEATED._replace(is_keyed=False)


class Site:
    """The services of a stack, and one ledger of everything that is recorded there."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.ledger = Ledger(folder / f"{stack.project}.jsonl")

    def close(self) -> None:
        """Close the ledger."""
        self.ledger.close()

    @property
    def settings(self) -> Settings:
        """The settings of a client on this machine, which reaches Redis at its internal address."""
        state = self.stack.engine.inspect("container", self.stack.name("redis"))
        (found,) = state["NetworkSettings"]["Networks"].values()
        url = f"redis://:{PASSWORD}@{found['IPAddress']}:6379/0"
        # Earlier releases had another default.
        partitions = self.stack.redis("hget", keys.CONFIG, "partitions")
        return Settings(redis_url=url, partitions=int(partitions))

    @contextlib.contextmanager
    def load(self, name: str, style: Style) -> Iterator[Load]:
        """Senders to the devices NAME-0 to NAME-11; a name can be used once."""
        running = Load(self, name, style)
        try:
            yield running
        finally:
            running.end()

    def verdict(self) -> Verdict:
        """Wait until everything is applied, and compare all that was ever sent."""
        settings = self.settings
        with contextlib.closing(redis_client.connect(settings, socket_timeout=60)) as client:
            wait_until(lambda: _is_drained(client, settings), "everything to be applied", _DRAIN_S)
            return verify(self.ledger, client, settings)


class Load:
    """Senders that record through the proxy until they are ended, and readers that collect."""

    def __init__(self, site: Site, name: str, style: Style) -> None:
        self._ledger, self._stack, self._name = site.ledger, site.stack, name
        self._before = Counter(self._ledger.responses)
        self._acknowledged = self._ledger.acknowledged
        self._began_ms = time.time_ns() // 1_000_000
        self._readers: list[Reader] = []
        self._senders = [
            Sender(
                site.stack.url("ingest"),
                self._ledger,
                [f"{name}-{sender * _DEVICES + device}" for device in range(_DEVICES)],
                readings=_UNLIMITED,
                seed=sender,
                style=style,
            )
            for sender in range(_SENDERS)
        ]
        for sender in self._senders:
            sender.start()

    def read(self) -> None:
        """Start two readers, once there is something to read."""
        self.wait_for(200)
        self._readers = [Reader(self._stack.url("api"), self._name) for _ in range(2)]
        for reader in self._readers:
            reader.start()

    def wait_for(self, readings: int = 100, timeout_s: float = 120) -> None:
        """Wait until this many more readings are acknowledged."""
        wanted = self._ledger.acknowledged + readings
        wait_until(lambda: self._ledger.acknowledged >= wanted, f"{readings} readings", timeout_s)

    def end(self) -> None:
        """Let senders and readers finish their requests."""
        for thread in self._readers:
            thread.ending.set()
        for sender in self._senders:
            sender.giving_up.set()
        for each in (*self._senders, *self._readers):
            each.join(60)

    @property
    def acknowledged(self) -> int:
        """Readings of this load that got a 200."""
        return self._ledger.acknowledged - self._acknowledged

    @property
    def errors(self) -> dict[str, int]:
        """Attempts to record without a 200, by status or exception."""
        found = self._ledger.responses - self._before
        return {code: count for code, count in sorted(found.items()) if code != "200"}

    @property
    def unread(self) -> dict[str, int]:
        """Requests to collect without a 200, and values that went backwards."""
        found = sum((reader.statuses for reader in self._readers), Counter[str]())
        found["backwards"] = sum(reader.backwards for reader in self._readers)
        return {code: count for code, count in sorted(found.items()) if count and code != "200"}

    @property
    def longest_s(self) -> float:
        """The longest time without an acknowledged request."""
        times = sorted(ms for ms, _ in self._ledger.accepted() if ms >= self._began_ms)
        pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
        return max(pauses, default=0) / 1000

    def __str__(self) -> str:
        requests = sum((self._ledger.responses - self._before).values())
        return (
            f"{requests} requests to record, without a 200: {self.errors or 0}, acknowledged "
            f"{self.acknowledged} readings, longest pause {self.longest_s:.1f} s"
        )


def _is_drained(client: redis.Redis, settings: Settings) -> bool:
    try:
        return bool(status.read(client, settings).pending == 0)
    except redis.ConnectionError:
        return False
