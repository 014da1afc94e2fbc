"""The storm of alerts: values cross limits while everything that evaluates and sends is killed.

Each device is recorded by one thread, in order, and each reading again until it is acknowledged.
So the transitions follow from what was acknowledged: at the end the log must have each of them
once, and the receiver of webhooks each one that is sent at least once, with the id in the log.
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from support import forking
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
_FORKED = ("aggregator 0", "aggregator 1", "sender")
_TIMEOUT_S = 90.0
_FAILURES = 0.01  # of the webhooks, which are sent again
POINTS = ("after_begin", "after_read", "after_load", "after_fold", "after_commit_sent",
          "after_commit")  # fmt: skip
# Of twenty kills.
_FAULTS = (
    *("aggregator",) * 8, *("aggregator at a point",) * 6, *("sender",) * 3, *("redis",) * 2,
    "ingest",
)  # fmt: skip


# The role `jobs` starts it beside its workers, which the storm does not need.
_SENDER = """
from jobs.alerts import sender
from tributary import failpoints, log, settings
loaded = settings.load()
log.configure(loaded, "sender")
failpoints.arm(loaded.fail)
sender.run(loaded)
"""


class Options(NamedTuple):
    """The options of a storm."""

    kills: int = 1000
    seed: int = 1


class Outcome(NamedTuple):
    """The result of a storm; counts are of transitions unless named."""

    kills: Counter[str]
    ended: int  # processes that ended by themselves and were restarted
    readings: int  # acknowledged
    transitions: int  # that follow from them
    missing: int  # not in the log
    unexpected: int  # in the log, once more or at all
    misnumbered: int  # partitions whose numbers are not 1, 2, …, and entries that changed
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
        self.ended: Counter[str] = Counter()
        self._log: list[dict[int, Transition]] = [{} for _ in range(_PARTITIONS)]
        self._changed = 0
        forking.enable()  # an aggregator begins at once, instead of loading its modules first
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
            self._forked: dict[str, Process] = {}
            self._cleanup.callback(self._end_forked)
            for name in _FORKED:
                self._start(name)
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
            self._restart_ended()
            self._kill(fault)
            self._read_log()
            yield fault

    def outcome(self) -> Outcome:
        """Let everything finish, and compare."""
        for sender in self._senders:
            sender.finishing.set()
        for sender in self._senders:
            sender.join(_TIMEOUT_S)
            assert not sender.is_alive(), "a reading is not acknowledged"
        wait_until(self._is_drained, "the aggregators to finish", _TIMEOUT_S)
        while not self._is_sent():  # a sender that was killed often may be far behind
            self._wait_for_delivery()
        self._read_log()
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
        logged = [each for log in self._log for each in log.values()]
        misnumbered = sum(list(log) != list(range(1, len(log) + 1)) for log in self._log)
        found: Counter[Step] = Counter(
            (t.device, t.rule, t.state, t.was, t.since_ms, t.value) for t in logged
        )
        ids = {t.id for t in logged if message.kind(t) is not None}
        arrived = Counter(self._receiver.ids)
        return Outcome(
            +self.kills, self.ended.total(), sum(s.readings for s in self._senders), sum(wanted.values()),
            sum((wanted - found).values()), sum((found - wanted).values()),
            misnumbered + self._changed,
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
            # It takes up a partition once, but reads and commits as long as readings arrive.
            times = 1 if fault == "after_begin" else self._random.randrange(1, 6)
            self._start(name, f"{fault}:{times}")
            wait_until(lambda: not _is_alive(self._forked[name]), f"death at {fault}", _TIMEOUT_S)
            self._start(name)
        else:
            name = "sender" if fault == "sender" else f"aggregator {self._random.randrange(2)}"
            self._start(name)
        self.kills[fault] += 1

    def _start_ingest(self) -> Process:
        found = tributary("ingest", "--port", "0", environ=environ(self._settings))
        self._url = serving(found)
        return found

    def _end_ingest(self) -> None:
        self._ingest.kill()

    def _start(self, name: str, fail: str = "") -> None:
        """Kill the process with this name, if there is one, and start another one."""
        if name in self._forked:
            self._forked[name].kill()
        variables = environ(self._settings, fail)
        if name == "sender":
            command = [sys.executable, "-c", _SENDER]
            self._forked[name] = Process(command, variables, cwd=ROOT)
        else:
            self._forked[name] = tributary("aggregator", environ=variables)

    def _restart_ended(self) -> None:
        """Restart what has ended by itself, as the supervisor does, and count it."""
        for name, forked in self._forked.items():
            if not _is_alive(forked):
                self.ended[name] += 1
                self._start(name)

    def _end_forked(self) -> None:
        for forked in self._forked.values():
            forked.kill()

    def _wait_for_progress(self) -> None:
        """Wait until a random number of further transitions is logged."""
        wanted = self._logged() + self._random.randrange(1, 6)
        wait_until(lambda: self._logged() >= wanted, "the log to grow", _TIMEOUT_S)

    def _logged(self) -> int:
        counts = [self._server.client.hget(keys.meta(p), "transitions") for p in range(_PARTITIONS)]
        return sum(int(count or 0) for count in counts)

    def _read_log(self) -> None:
        """Read what is logged since the last time: a partition keeps only the newest ones.

        What is still there must be as it was.
        """
        for partition, log in enumerate(self._log):
            held: Any = self._server.client.zrange(
                keys.transitions(partition), 0, -1, withscores=True
            )
            for member, number in held:
                transition = alert.parse_transition(member)
                if log.setdefault(int(number), transition) != transition:
                    self._changed += 1

    def _wait_for_delivery(self) -> None:
        before = self._delivered()
        try:
            wait_until(
                # The last one may have been delivered before `before` was read.
                lambda: self._delivered() > before or self._is_sent(),
                "a delivery",
                _TIMEOUT_S,
            )
        except AssertionError as error:
            for name, forked in self._forked.items():
                error.add_note(f"{name}: {forked.popen.poll()}; output:\n{forked.text[-2_000:]}")
            raise

    def _delivered(self) -> int:
        """The sum of the positions of the destination."""
        client = self._server.client
        found = [client.hvals(keys.delivered(p)) for p in range(_PARTITIONS)]
        return sum(int(value) for values in found for value in values)

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


def _is_alive(process: Process) -> bool:
    return process.popen.poll() is None
