"""The pipeline as separate processes: ingest, dying aggregators, senders with a ledger."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

from support.ledger import Ledger, Verdict, verify
from support.processes import Process
from support.senders import Sender, Style
from support.waiting import wait_until
from tributary import failpoints
from tributary.operate import status
from tributary.settings import PREFIX, Settings
from tributary.store import redis_client

SENDERS = 4
DEVICES = 12
_OTHERS = ("_append", "_forget_", "_archive", "_raw_", "_compact_")  # of ingest and jobs
AGGREGATOR_POINTS = [p for p in failpoints.POINTS if not any(name in p for name in _OTHERS)]
SERVING = re.compile(r"at=(http://\S+)")
Run = Callable[..., Process]


def environ(settings: Settings, fail: str = "") -> dict[str, str]:
    """The environment of a role with these settings."""
    values = msgspec.structs.asdict(settings) | {"fail": fail}
    return {f"{PREFIX}{name.upper()}": str(value) for name, value in values.items()}


def ingest(run: Run, settings: Settings, fail: str = "") -> str:
    """Start the ingest role; its URL."""
    return serving(run("ingest", "--port", "0", environ=environ(settings, fail)))


def serving(process: Process) -> str:
    """The URL of a role, once it serves."""
    return str(process.wait_for(SERVING)[1])


class Aggregators:
    """Aggregators that keep dying: killed by the test, or at a fail point."""

    def __init__(self, run: Run, settings: Settings, *, count: int, seed: int) -> None:
        self._run = run
        self._settings = settings
        self._random = random.Random(seed)
        self.deaths: Counter[str] = Counter()
        self._points: list[str] = [""] * count
        self._processes = [self._start(number) for number in range(count)]

    def kill_one(self) -> None:
        """Kill one of them, or replace one that has died at its fail point."""
        dead = [n for n, p in enumerate(self._processes) if p.popen.poll() is not None]
        number = dead[0] if dead else self._random.randrange(len(self._processes))
        self._processes[number].kill()
        self.deaths[self._points[number] if dead else "SIGKILL"] += 1
        self._processes[number] = self._start(number)

    def add_lasting_one(self) -> None:
        """Start one that does not die, in case all others reach their fail points."""
        self._run("aggregator", environ=environ(self._settings))

    def _start(self, number: int) -> Process:
        self._points[number] = self._random.choice(AGGREGATOR_POINTS)
        fail = f"{self._points[number]}:{self._random.randint(1, 60)}"
        return self._run("aggregator", environ=environ(self._settings, fail))


def drained(settings: Settings) -> bool:
    """Whether all accepted readings are applied, and none is lost or dead."""
    client = redis_client.connect(settings)
    found = status.read(client, settings)
    client.close()
    assert found.lost == found.dead == 0, found
    return bool(found.pending == 0)


class Load:
    """Senders with a ledger that run until `readings` readings are acknowledged."""

    def __init__(
        self,
        url: str,
        path: Path,
        *,
        readings: int,
        seed: int,
        style: Style = Style(),  # noqa: B008 - it cannot be changed
    ) -> None:
        self.ledger = Ledger(path)
        self.readings = readings
        self._senders = [
            Sender(
                url,
                self.ledger,
                [f"car-{device}" for device in range(number, DEVICES, SENDERS)],
                readings=readings // SENDERS,
                seed=seed + number,
                style=style,
            )
            for number in range(SENDERS)
        ]
        for sender in self._senders:
            sender.start()

    def wait_for(self, readings: int, timeout_s: float = 120) -> None:
        """Wait until this many readings are acknowledged."""
        wait_until(lambda: self.ledger.acknowledged >= readings, f"{readings} readings", timeout_s)

    def finish(self, timeout_s: float = 20) -> None:
        """Let each sender finish its current request, and stop."""
        for sender in self._senders:
            sender.giving_up.set()
        for sender in self._senders:
            sender.join(timeout_s)

    def close(self) -> None:
        """Stop the senders, and close the ledger."""
        self.finish(5)
        for sender in self._senders:
            sender.wire.is_abandoned.set()
        self.finish()
        self.ledger.close()

    def verdict(self, settings: Settings, timeout_s: float = 60) -> Verdict:
        """Wait for the senders and the aggregators to finish, then verify."""
        for sender in self._senders:
            sender.join(timeout_s)
        wait_until(lambda: drained(settings), "everything accepted to be accounted for", timeout_s)
        client = redis_client.connect(settings, socket_timeout=60)
        try:
            return verify(self.ledger, client, settings)
        finally:
            client.close()
