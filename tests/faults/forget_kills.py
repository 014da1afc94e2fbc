"""Kill aggregators, jobs and Redis while devices are forgotten, and compare with what was sent.

Some devices are never forgotten: they must be counted exactly, though they share entries with the
others. Every round records readings of a new device, asks to forget it, and records again in
every second round: of these readings each must count once, and of the others nothing may be left.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import redis
from sqlalchemy import text
from support.forgetting import files_with
from support.ledger import METRIC, miscounted
from support.pipeline import AGGREGATOR_POINTS, Load, environ, serving
from support.processes import ROOT, Process, Server, exchange, tributary
from support.senders import Style
from support.waiting import wait_until

from tributary import failpoints
from tributary.errors import TributaryError
from tributary.history.database import Database
from tributary.model.clock import utc_ms
from tributary.operate import status
from tributary.operate.forgetting import records, requests
from tributary.settings import Settings
from tributary.store import redis_client

KINDS = ("aggregator", "aggregator at a failpoint", "jobs", "job at a failpoint", "redis")
_JOB_POINTS = [point for point in failpoints.POINTS if "_forget_" in point]
_AGGREGATORS = 2
_TIMEOUT_S = 120.0
_UNFINISHED_MAX = 10
_SUMS = (
    "SELECT s.device, sum(m.count), sum(m.count * m.mean) FROM minutes m "
    "JOIN series s ON s.id = m.series_id GROUP BY s.device"
)
_UNLIMITED = 1 << 40
_STYLE = Style((1, 2, 5), pause_s=0.01, is_keyed=True, timeout_s=5.0)


class Options(NamedTuple):
    """The options of a storm."""

    kills: int = 100
    seed: int = 1


class Outcome(NamedTuple):
    """What the storm did, and what is wrong in the end."""

    kills: Counter[str]
    acknowledged: int  # readings of devices that are not forgotten
    forgotten: int  # devices
    returned: int  # of them that recorded again
    violations: list[str]


class ForgetStorm:
    """Redis, ingest, two aggregators and jobs under load, and devices that are forgotten."""

    def __init__(self, folder: Path, options: Options) -> None:
        self._folder = folder
        self._options = options
        self._random = random.Random(options.seed)
        self._server = Server(folder / "redis", appendfsync="always", rdbcompression="no")
        self._settings = Settings(
            redis_url=self._server.url, durability="fsync", partitions=4, heartbeat_ms=100,
            stream_max_entries=10_000_000, data_dir=str(folder / "data"),
        )  # fmt: skip
        self.kills: Counter[str] = Counter()
        self._devices: dict[str, list[float]] = {}  # readings behind the last tombstone
        self._roles: dict[str, Process] = {}
        for name in ("jobs", *(f"aggregator {n}" for n in range(_AGGREGATORS))):
            self._start(name)
        self._ingest = tributary("ingest", "--port", "0", environ=environ(self._settings))
        self._url = serving(self._ingest)
        self._load = Load(
            self._url, folder / "ledger.jsonl", readings=_UNLIMITED, seed=options.seed, style=_STYLE
        )

    def run(self) -> Iterator[str]:
        """Kill `options.kills` processes; yields the kind of each."""
        for number in range(self._options.kills):
            device = f"gone-{number}-{secrets.token_hex(6)}"
            self._record(device, range(self._random.randrange(1, 60)))
            if self._random.random() < 0.5:
                self._wait_for_load(self._random.randrange(1, 50))
            self._forget(device)
            again = range(1000, 1000 + self._random.randrange(1, 30)) if number % 2 else range(0)
            self._devices[device] = [float(value) for value in again]
            self._record(device, again)
            kind = KINDS[number % len(KINDS)]
            self._kill(kind)
            self.kills[kind] += 1
            self._wait_for_load(20)
            yield kind

    def outcome(self) -> Outcome:
        """Wait until everything is applied and forgotten, and compare."""
        self._load.finish(_TIMEOUT_S)
        wait_until(self._is_quiet, "every tombstone to be finished", 2 * _TIMEOUT_S)
        client = redis_client.connect(self._settings, socket_timeout=60)
        try:
            return Outcome(
                self.kills,
                self._load.ledger.acknowledged,
                len(self._devices),
                sum(map(bool, self._devices.values())),
                list(self._violations(client)),
            )
        finally:
            client.close()

    def close(self) -> None:
        """Stop everything."""
        self._load.close()
        for process in (*self._roles.values(), self._ingest):
            process.kill()
        self._server.close()

    def _start(self, name: str, fail: str = "") -> None:
        self._roles[name] = tributary(
            name.split(maxsplit=1)[0], environ=environ(self._settings, fail)
        )

    def _record(self, device: str, values: range) -> None:
        """Record readings in several requests, each until it is acknowledged."""
        for first in range(0, len(values), 20):
            some = values[first : first + 20]
            body = [{"device": device, "recorded_at": utc_ms(), METRIC: value} for value in some]
            key, sent = secrets.token_hex(16), json.dumps(body).encode()

            def is_acknowledged(key: str = key, sent: bytes = sent) -> bool:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    reply = exchange(self._url, "POST", "/record", sent, Idempotency_Key=key)
                    return reply.status == http.HTTPStatus.OK
                return False

            wait_until(is_acknowledged, f"readings of {device}", _TIMEOUT_S)

    def _forget(self, device: str) -> None:
        """Ask until Redis has acknowledged it; a repetition does no harm."""

        def is_asked() -> bool:
            with contextlib.suppress(TributaryError), self._client() as client:
                return bool(requests.ask(client, self._settings, [device]))
            return False

        wait_until(is_asked, f"a tombstone of {device}", _TIMEOUT_S)

    def _client(self) -> contextlib.AbstractContextManager[redis.Redis]:
        return contextlib.closing(redis_client.connect(self._settings))

    def _kill(self, kind: str) -> None:
        name = f"aggregator {self._random.randrange(_AGGREGATORS)}"
        if kind == "redis":
            self._server.kill()
            self._server.start()
        elif kind == "jobs":
            self._roles["jobs"].kill()
            self._start("jobs")
        elif kind == "aggregator":
            self._roles[name].kill()
            self._start(name)
        elif kind == "aggregator at a failpoint":
            self._roles[name].kill()
            point = self._random.choice(AGGREGATOR_POINTS)
            times = 1 if point == "after_begin" else self._random.randrange(1, 20)
            self._start(name, f"{point}:{times}")
            self._wait_for_death(self._roles[name])
            self._start(name)
        else:
            self._kill_job()

    def _kill_job(self) -> None:
        """Run the job itself in a process that dies at a failpoint; meanwhile others may run it."""
        point = self._random.choice(_JOB_POINTS)
        command = [sys.executable, "-m", "faults.forget_runner"]
        variables = {**environ(self._settings, point), "PYTHONPATH": str(ROOT / "tests")}
        dying = self._roles["runner"] = Process(command, variables, cwd=ROOT)
        device = f"gone-{secrets.token_hex(6)}"
        deadline_s = time.monotonic() + _TIMEOUT_S
        while dying.popen.poll() is None:  # so that there is something to do
            assert time.monotonic() < deadline_s, f"{point} is not reached: {dying.text[-2000:]}"
            if self._unfinished() < _UNFINISHED_MAX:
                self._devices[device] = []
                self._record(device, range(3))
                self._forget(device)
            self._wait_for_load(20)
        dying.kill()

    def _unfinished(self) -> int:
        with contextlib.suppress(TributaryError), self._client() as client:
            return len(records.read(client, range(self._settings.partitions)))
        return 0

    @staticmethod
    def _wait_for_death(process: Process) -> None:
        with contextlib.suppress(AssertionError):  # it may own no partition
            wait_until(lambda: process.popen.poll() is not None, "a failpoint", 15)
        process.kill()

    def _wait_for_load(self, readings: int) -> None:
        self._load.wait_for(self._load.ledger.acknowledged + readings, _TIMEOUT_S)

    def _is_quiet(self) -> bool:
        with self._client() as client:
            left = records.read(client, range(self._settings.partitions))
            return not left and status.read(client, self._settings).pending == 0

    def _violations(self, client: redis.Redis) -> Iterator[str]:
        expected: dict[str, Counter[float]] = {}
        for sent, outcome in self._load.ledger.outcomes():
            if outcome in {"ok", "dup"}:
                held = expected.setdefault(sent.device, Counter())
                held.update(float(number) for number in sent.numbers)
            elif outcome == "maybe":
                yield f"{sent} has no outcome"
        expected |= {device: Counter(values) for device, values in self._devices.items() if values}
        yield from (problem for problem, _ in miscounted(client, self._settings, expected))
        found = status.read(client, self._settings)
        if found.lost or found.dead:
            yield f"{found.lost} readings are lost, {found.dead} dead"
        if found.devices != len(expected) or found.series != len(expected):
            yield f"{found.devices} devices and {found.series} series, not {len(expected)}"
        yield from self._history_violations(expected)
        database = Path(self._settings.data_dir).iterdir()
        contents = {path.name: path.read_bytes() for path in database if path.is_file()}
        for device, values in self._devices.items():
            if values:
                continue
            files = files_with(self._server, device)
            files += [name for name, content in contents.items() if device.encode() in content]
            if files:
                yield f"{device} is in {', '.join(files)}"

    def _history_violations(self, expected: dict[str, Counter[float]]) -> Iterator[str]:
        wanted = {
            device: (values.total(), sum(value * n for value, n in values.items()))
            for device, values in expected.items()
        }
        with contextlib.suppress(AssertionError):
            wait_until(lambda: self._history().keys() == wanted.keys() and all(
                self._history()[device][0] == count for device, (count, _) in wanted.items()
            ), "the history", _TIMEOUT_S)  # fmt: skip
        found = self._history()
        for device in sorted(found.keys() | wanted.keys()):
            (count, total), (held, held_total) = (
                each.get(device, (0, 0.0)) for each in (wanted, found)
            )
            if count != held or abs(total - held_total) > 0.25:
                yield f"{device}: {count} readings, {held} in the history"

    def _history(self) -> dict[str, tuple[int, float]]:
        """By device, the number of readings in the history and their sum."""
        opened = contextlib.closing(Database.open(self._settings, migrate=False))
        with opened as db, db.reading() as connection:
            rows = connection.execute(text(_SUMS))
            return {device: (int(count), float(total)) for device, count, total in rows}
