"""The storm of alerts: values cross limits while everything that evaluates and sends is killed.

Each device is recorded by one thread, in order, and each reading again until it is acknowledged.
So the transitions follow from what was acknowledged: at the end the log must have each of them
once, and the receiver of webhooks each one that is sent at least once, with the id in the log.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from support.hook_receiver import SECRET, Hook, Receiver
from support.pipeline import environ, serving
from support.processes import ROOT, Process, Server, tributary
from support.waiting import wait_until

from faults import deck
from faults.alert_sender import RULES, AlertSender, Step
from jobs.alerts import message
from tributary.model import alert
from tributary.model.alert import Transition
from tributary.operate import status
from tributary.settings import Settings
from tributary.store import keys, redis_client

_SENDERS, _PARTITIONS = 3, 3
_TIMEOUT_S = 90.0
_FAILURES = 0.05  # of the webhooks, which are sent again
POINTS = ("after_begin", "after_read", "after_load", "after_fold", "after_commit_sent",
          "after_commit")  # fmt: skip
# Of twenty kills.
_FAULTS = (
    *("aggregator",) * 8, *("aggregator at a point",) * 6, *("sender",) * 3, *("redis",) * 2,
    "ingest",
)  # fmt: skip
# A process that forks others: an aggregator or a sender that has loaded its modules begins at once.
_FORKS = """
import os, signal, sys
from aggregator import role
from aggregator.worker import Worker
from jobs.alerts import sender
from tributary import failpoints, log, settings
import msgspec, uvloop
loaded = settings.load()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
for line in sys.stdin:
    number, what, fail = line.rstrip("\\n").split(" ")
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log.configure(loaded, what)
        failpoints.arm(fail)
        (role.ROLE.run if what == "aggregator" else sender.run)(loaded)
        os._exit(0)
    # Another process may have been killed in the middle of a line.
    print(f"\\npid {number} {pid}", flush=True)
"""


class Options(NamedTuple):
    """The options of a storm."""

    kills: int = 1000
    seed: int = 1


class Outcome(NamedTuple):
    """The result of a storm; counts are of transitions unless named."""

    kills: Counter[str]
    readings: int  # acknowledged
    transitions: int  # that follow from them
    missing: int  # not in the log
    unexpected: int  # in the log, once more or at all
    misnumbered: int  # partitions whose numbers are not 1, 2, …
    to_send: int
    unsent: int  # never arrived
    unknown: int  # arrived with an id that is not in the log
    repeated: int  # webhooks that arrived more than once


class AlertStorm:
    """Redis, two aggregators, an HTTP server, a process that sends, and a receiver."""

    def __init__(self, folder: Path, options: Options) -> None:
        self._options, self._random = options, random.Random(options.seed)
        self._cleanup = contextlib.ExitStack()
        self._senders: list[AlertSender] = []
        self.kills: Counter[str] = Counter()
        with contextlib.ExitStack() as failed:
            failed.callback(self.close)
            self._receiver = Receiver(self._status)
            self._cleanup.callback(self._receiver.close)
            self._server = Server(folder / "redis", appendfsync="always")
            self._cleanup.callback(self._server.close)
            rules = folder / "rules.toml"
            rules.write_text(RULES)
            self._settings = Settings(
                redis_url=self._server.url, durability="fsync", partitions=_PARTITIONS,
                heartbeat_ms=100, metrics_file=str(rules), alert_webhooks=self._receiver.url,
                alert_webhook_secret=SECRET, alert_webhook_allow="127.0.0.1",
            )  # fmt: skip
            self._ingest = self._start_ingest()
            self._cleanup.callback(self._end_ingest)
            forks = [sys.executable, "-c", _FORKS]
            self._forks = Process(
                forks, environ(self._settings), cwd=ROOT, stdin=subprocess.PIPE, bufsize=1
            )
            self._cleanup.callback(self._forks.kill)
            self._forks.wait_for(re.compile("^ready$", re.MULTILINE))
            self._forked = 0
            self._pids = {
                name: self._fork(name) for name in ("aggregator 0", "aggregator 1", "sender")
            }
            self._cleanup.callback(self._end_forked)
            wait_until(self._is_sent, "the first start of the sender", _TIMEOUT_S)
            self._senders = [
                AlertSender(self._url, number, options.seed) for number in range(_SENDERS)
            ]
            for sender in self._senders:
                sender.start()
            failed.pop_all()

    def run(self) -> Iterator[str]:
        """Inject `options.kills` faults; yields the name of each."""
        faults = deck.shuffled(_FAULTS, self._random)
        while sum(self.kills.values()) < self._options.kills:
            fault = next(faults)
            self._wait_for_progress()
            self._kill(fault)
            yield fault

    def outcome(self) -> Outcome:
        """Let everything finish, and compare."""
        for sender in self._senders:
            sender.finishing.set()
        for sender in self._senders:
            sender.join(_TIMEOUT_S)
            assert not sender.is_alive(), "a reading is not acknowledged"
        wait_until(self._is_drained, "the aggregators to finish", _TIMEOUT_S)
        wait_until(self._is_sent, "the deliveries to finish", _TIMEOUT_S)
        return self._compare()

    def close(self) -> None:
        """Stop everything."""
        for sender in self._senders:
            sender.finishing.set()
        self._cleanup.close()

    def _compare(self) -> Outcome:
        wanted: Counter[Step] = Counter(
            each for s in self._senders for device in s.expected for each in device.transitions
        )
        logged: list[Transition] = []
        misnumbered = 0
        for partition in range(_PARTITIONS):
            held: Any = self._server.client.zrange(
                keys.transitions(partition), 0, -1, withscores=True
            )
            logged += [alert.parse_transition(member) for member, _ in held]
            last = int(self._server.client.hget(keys.meta(partition), "transitions") or 0)
            misnumbered += [number for _, number in held] != list(range(1, last + 1))
        found: Counter[Step] = Counter(
            (t.device, t.rule, t.state, t.was, t.since_ms, t.value) for t in logged
        )
        ids = {t.id for t in logged if message.kind(t) is not None}
        arrived = Counter(self._receiver.ids)
        return Outcome(
            +self.kills, sum(s.readings for s in self._senders), sum(wanted.values()),
            sum((wanted - found).values()), sum((found - wanted).values()), misnumbered,
            len(ids), len(ids - arrived.keys()), len(arrived.keys() - {t.id for t in logged}),
            sum(count - 1 for count in arrived.values()),
        )  # fmt: skip

    def _status(self, _: Hook) -> int:
        return 503 if random.random() < _FAILURES else 204

    def _kill(self, fault: str) -> None:
        if fault == "redis":
            self._server.kill()
            self._server.start()
        elif fault == "ingest":
            self._ingest.kill()
            self._ingest = self._start_ingest()
            for sender in self._senders:
                sender.url = self._url
        elif fault == "aggregator at a point":
            fault = self._random.choice(POINTS)
            name = f"aggregator {self._random.randrange(2)}"
            self._end(name)
            # It takes up a partition once, but reads and commits as long as readings arrive.
            times = 1 if fault == "after_begin" else self._random.randrange(1, 6)
            pid = self._pids[name] = self._fork(name, f"{fault}:{times}")
            wait_until(lambda: not _is_alive(pid), f"death at {fault}", _TIMEOUT_S)
            self._pids[name] = self._fork(name)
        else:
            name = "sender" if fault == "sender" else f"aggregator {self._random.randrange(2)}"
            self._end(name)
            self._pids[name] = self._fork(name)
        self.kills[fault] += 1

    def _start_ingest(self) -> Process:
        found = tributary("ingest", "--port", "0", environ=environ(self._settings))
        self._url = serving(found)
        return found

    def _end_ingest(self) -> None:
        self._ingest.kill()

    def _fork(self, name: str, fail: str = "") -> int:
        assert self._forks.popen.stdin is not None
        self._forks.popen.stdin.write(f"{self._forked} {name.partition(' ')[0]} {fail}\n")
        pattern = re.compile(rf"^pid {self._forked} (\d+)$", re.MULTILINE)
        self._forked += 1
        return int(self._forks.wait_for(pattern)[1])

    def _end(self, name: str) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pids[name], signal.SIGKILL)

    def _end_forked(self) -> None:
        for name in self._pids:
            self._end(name)

    def _wait_for_progress(self) -> None:
        """Wait until a random number of further transitions is logged."""
        wanted = self._logged() + self._random.randrange(1, 6)
        wait_until(lambda: self._logged() >= wanted, "the log to grow", _TIMEOUT_S)

    def _logged(self) -> int:
        counts = [self._server.client.hget(keys.meta(p), "transitions") for p in range(_PARTITIONS)]
        return sum(int(count or 0) for count in counts)

    def _is_drained(self) -> bool:
        with contextlib.closing(redis_client.connect(self._settings)) as client:
            return status.read(client, self._settings).pending == 0

    def _is_sent(self) -> bool:
        client = self._server.client
        return all(
            int(client.hget(keys.meta(p), "transitions") or 0)
            == int((client.hvals(keys.delivered(p)) or [b"-1"])[0])
            for p in range(_PARTITIONS)
        )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
