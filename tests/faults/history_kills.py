"""The storm of the history: what archives is killed while readings of any age arrive.

Two processes archive the same partitions at once. They, the database and Redis are killed at
random and at named points, and entries that are not in the history yet are trimmed. At the end
the history must be what the senders had acknowledged, without the entries that were trimmed.
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from support.histories import Value, expected, rows, values_of
from support.pipeline import environ, serving
from support.postgres import Postgres
from support.processes import ROOT, Process, Server, tributary
from support.waiting import wait_until

from faults import deck
from faults.history_sender import HistorySender
from jobs import archive
from tributary import failpoints
from tributary.history import reads, store
from tributary.history.database import Database
from tributary.model.clock import utc_ms
from tributary.operate import status
from tributary.settings import Settings
from tributary.store import keys, redis_client
from tributary.store.tombstone import parts_of

_SENDERS = 3
_ARCHIVERS = 2
_TIMEOUT_S = 90.0
_PARTITIONS = 3
POINTS = [point for point in failpoints.POINTS if "archive" in point]
# Of ten faults; without a server of its own, the database dies with what writes to it.
_FAULTS = (
    *("archiver",) * 3, *("archiver at a point",) * 3, "database", "database", "redis", "trim",
)  # fmt: skip
_LOOP = """
import threading
from jobs import archive
from tributary import failpoints, settings
from tributary.errors import TributaryError
loaded, never = settings.load(), threading.Event()
failpoints.arm(loaded.fail)
while True:
    for partition in range(loaded.partitions):
        try:
            archive.run(loaded, partition)
        except TributaryError as error:
            print(error, flush=True)
    never.wait(0.01)
"""


class Options(NamedTuple):
    """The options of a storm."""

    database: str = "sqlite"  # or postgresql
    kills: int = 250
    seed: int = 1


class Outcome(NamedTuple):
    """The result of a storm; counts are of readings."""

    kills: Counter[str]  # trims are not kills
    acknowledged: int
    entries_in_gaps: int
    in_gaps: int
    lost: int
    twice: int
    differing: int  # slots whose statistics differ by more than rounding
    slots: int
    wrong_gaps: str  # what the history says about its gaps, if it is wrong


class HistoryStorm:
    """Redis, an aggregator, an HTTP server, a database and two processes that archive."""

    def __init__(self, folder: Path, options: Options) -> None:
        self._options = options
        self._random = random.Random(options.seed)
        self._cleanup = contextlib.ExitStack()
        self.kills: Counter[str] = Counter()
        self._trimmed: list[Value] = []
        self._gap_entries = self._gap_readings = 0
        with contextlib.ExitStack() as failed:
            failed.callback(self.close)
            self._server = Server(folder / "redis", appendfsync="always")
            self._cleanup.callback(self._server.close)
            self._postgres: Postgres | None = None
            if options.database == "postgresql":
                self._postgres = Postgres(is_durable=True)
                self._cleanup.callback(self._postgres.close)
            self._settings = Settings(
                redis_url=self._server.url, durability="fsync", partitions=_PARTITIONS,
                heartbeat_ms=100, data_dir=str(folder / "data"),
                history_url=self._postgres.create() if self._postgres else "",
            )  # fmt: skip
            self._db = Database.open(self._settings, migrate=True)
            self._cleanup.callback(self._db.close)
            self._aggregator = tributary("aggregator", environ=environ(self._settings))
            self._cleanup.callback(self._aggregator.kill)
            self._ingest = tributary("ingest", "--port", "0", environ=environ(self._settings))
            self._cleanup.callback(self._ingest.kill)
            url = serving(self._ingest)
            self._archivers = [self._archiver() for _ in range(_ARCHIVERS)]
            self._cleanup.callback(lambda: [each.kill() for each in self._archivers])
            self._senders = [
                HistorySender(url, number, seed=options.seed, now_ms=utc_ms())
                for number in range(_SENDERS)
            ]
            for sender in self._senders:
                sender.start()
            failed.pop_all()

    def run(self) -> Iterator[str]:
        """Inject faults until `options.kills` processes are killed; yields the name of each."""
        faults = deck.shuffled(_FAULTS, self._random)
        while sum(self.kills.values()) < self._options.kills:
            fault = next(faults)
            self._wait_for_progress()
            if fault == "trim":
                self._trim()
            else:
                self._kill(fault)
                yield fault

    def outcome(self) -> Outcome:
        """Let everything finish, and compare the history with the ledger."""
        for sender in self._senders:
            sender.finishing.set()
        for sender in self._senders:
            sender.join(_TIMEOUT_S)
            assert not sender.is_alive(), "a batch is not acknowledged"
        wait_until(self._is_drained, "the aggregator to finish", _TIMEOUT_S)
        for each in self._archivers:
            each.kill()
        for partition in range(_PARTITIONS):
            archive.run(self._settings, partition)
        return self._compare()

    def close(self) -> None:
        """Stop everything."""
        for sender in getattr(self, "_senders", []):
            sender.finishing.set()
        self._cleanup.close()

    def _compare(self) -> Outcome:
        sent = [value for sender in self._senders for value in sender.acknowledged]
        kept = Counter(sent) - Counter(self._trimmed)
        wanted, found = expected(kept.elements()), rows(self._db)
        lost = twice = differing = 0
        for key in wanted.keys() | found.keys():
            held, true = found.get(key, (0,)), wanted.get(key, (0,))
            if key[0] == 60_000:
                lost += max(0, int(true[0] - held[0]))
                twice += max(0, int(held[0] - true[0]))
            differing += not _are_close(held, true)
        gaps = [reads.count_gaps(self._db, partition) for partition in range(_PARTITIONS)]
        entries, readings = (sum(each[n] for each in gaps) for n in (1, 2))
        is_right = (entries, readings) == (self._gap_entries, self._gap_readings)
        wrong = f"{entries} entries, {readings} readings"
        return Outcome(
            +self.kills, len(sent), self._gap_entries, self._gap_readings, lost, twice, differing,
            len(found), "" if is_right else wrong,
        )  # fmt: skip

    def _kill(self, fault: str) -> None:
        number = self._random.randrange(_ARCHIVERS)
        if fault == "database" and self._postgres is None:
            for each in self._archivers:
                each.kill()
            self.kills["all archivers"] += 1
            self._archivers = [self._archiver() for _ in range(_ARCHIVERS)]
            return
        self.kills[fault] += 1
        if fault == "database" and self._postgres is not None:
            self._postgres.kill()
            self._start_postgres()
        elif fault == "redis":
            self._server.kill()
            self._server.start()
        elif fault == "archiver":
            self._archivers[number].kill()
            self._archivers[number] = self._archiver()
        else:
            self._archivers[number].kill()
            point = self._random.choice(POINTS)
            self.kills[fault] -= 1
            self.kills[point] += 1
            dying = self._archiver(f"{point}:{self._random.randrange(1, 8)}")
            self._archivers[number] = dying
            wait_until(lambda: dying.popen.poll() is not None, f"death at {point}", _TIMEOUT_S)
            dying.kill()  # closes its output
            self._archivers[number] = self._archiver()

    def _trim(self) -> None:
        """Trim entries of one partition that are not in the history."""
        partition = self._random.randrange(_PARTITIONS)
        for each in self._archivers:
            each.kill()
        # A commit that a killed process has sent may still be executed: the lock waits for it.
        with store.begin(self._db, partition) as transaction:
            after, client = transaction.position.entry_id, self._server.client
            stream: Any = client.xrange(keys.readings(partition))
            trimmed = stream[: -self._random.randrange(1, 8)]
            if trimmed:
                first = stream[len(trimmed)][0]
                client.xtrim(keys.readings(partition), minid=first, approximate=False)
        for id_, fields in trimmed:
            if parts_of(after) < parts_of(id_.decode()):
                values = list(values_of(fields[b"r"]))
                self._trimmed += values
                self._gap_entries += 1
                self._gap_readings += len(values)
        self._archivers = [self._archiver() for _ in range(_ARCHIVERS)]

    def _archiver(self, fail: str = "") -> Process:
        return Process([sys.executable, "-c", _LOOP], environ(self._settings, fail), cwd=ROOT)

    def _start_postgres(self) -> None:
        """The children of a killed server keep its memory for a moment, and it does not start."""
        assert self._postgres is not None

        def starts() -> bool:
            assert self._postgres is not None
            try:
                self._postgres.start()
            except AssertionError:
                return False
            return True

        wait_until(starts, "PostgreSQL to start again", _TIMEOUT_S)

    def _wait_for_progress(self) -> None:
        """Wait until a random number of further entries is in the history."""
        wanted = self._archived() + self._random.randrange(1, 30)
        wait_until(lambda: self._archived() >= wanted, "the history to grow", _TIMEOUT_S)

    def _archived(self) -> int:
        return sum(position.entries for position in store.positions(self._db).values())

    def _is_drained(self) -> bool:
        client = redis_client.connect(self._settings)
        with contextlib.closing(client):
            return status.read(client, msgspec.structs.replace(self._settings)).pending == 0


def _are_close(found: tuple[float, ...], wanted: tuple[float, ...]) -> bool:
    return len(found) == len(wanted) and all(
        abs(a - b) <= 1e-6 + 1e-9 * abs(b) for a, b in zip(found, wanted, strict=True)
    )
