"""What an automatic failover of a Redis Cluster loses, by level of durability.

Each round starts a cluster of its own (3 masters, 3 replicas), ingest and aggregators, sends
readings of many devices, kills one master with SIGKILL, and waits until its replica is promoted.
Then the killed node is started again, as an operator or a supervisor would do, and at the end the
ledger is compared with what the cluster holds.

A lagging replica is one whose replication link has been down for some time before the kill: it is
made to log in as a user that does not exist, and the link is closed. Stopping the process of the
replica would not do: what its kernel has received meanwhile it reads when it goes on.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple, get_args

import redis
from support.cluster import Cluster, Node
from support.ledger import Ledger, Sent, Verdict, verify
from support.pipeline import SERVING, environ
from support.processes import Process, tributary
from support.senders import Sender, Style, Wire
from support.waiting import wait_until

from tributary.operate import status
from tributary.operate.status import Status
from tributary.settings import Settings
from tributary.store import keys, redis_client

Level = Literal["memory", "aof", "fsync", "replicated"]
LEVELS: tuple[Level, ...] = get_args(Level)
_TIMEOUT_S = 60.0
_SENDERS = 8
_DEVICES = 400
_ENDLESS = 1 << 40  # readings
_STYLE = Style((1, 2, 5), pause_s=0.005, is_keyed=True, timeout_s=5.0)
_CONFIG = MappingProxyType({
    "memory": {"appendonly": "no"},
    "aof": {"appendfsync": "everysec"},
    "fsync": {"appendfsync": "always"},
    "replicated": {"appendfsync": "always"},
})  # fmt: skip


class Options(NamedTuple):
    """One round."""

    level: Level
    lag_ms: int = 0  # how long the replica has received nothing when its master is killed
    seed: int = 1  # which master, at which moment, and what is sent
    load_s: float = 3.0  # before the fault, and after it


class Outcome(NamedTuple):
    """What one round has shown; readings, except where a unit is named."""

    acknowledged: int
    lost: int  # acknowledged, but not stored or not counted
    reported: int  # as lost, by `status`
    twice: int  # stored or counted
    answers_503: int  # before the kill, while the replica lagged
    promoted_ms: int  # from the kill until the replica is a master
    accepted_ms: int  # from the kill until a reading for its partitions is accepted
    problems: list[str]  # what breaks the promise of the level


class Trial:
    """A cluster with ingest, aggregators and senders, until closed."""

    def __init__(self, folder: Path, options: Options) -> None:
        self.options = options
        self.random = random.Random(options.seed)
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as if_it_fails:
            if_it_fails.callback(self.close)
            self._start(folder)
            if_it_fails.pop_all()

    def close(self) -> None:
        """Stop everything."""
        self._stack.close()

    def _start(self, folder: Path) -> None:
        self.cluster = Cluster(folder / "cluster", replicas=1, config=_CONFIG[self.options.level])
        self._stack.callback(self.cluster.close)
        self.settings = Settings(
            redis_url=self.cluster.url, durability=self.options.level, heartbeat_ms=100,
            redis_timeout_ms=1000, ingest_workers=2, stream_max_entries=10_000_000,
        )  # fmt: skip
        for _ in range(2):
            self._run("aggregator")
        self.url = str(self._run("ingest", "--port", "0").wait_for(SERVING)[1])
        self.ledger = Ledger(folder / "ledger.jsonl")
        self._stack.callback(self.ledger.close)
        self.senders = [self._sender(number) for number in range(_SENDERS)]
        for sender in self.senders:
            self._stack.callback(sender.wire.is_abandoned.set)
            sender.start()
        wait_until(lambda: self.ledger.acknowledged > _DEVICES, "readings to be taken", _TIMEOUT_S)

    def _run(self, *arguments: str) -> Process:
        process = tributary(*arguments, environ=environ(self.settings))
        self._stack.callback(process.kill)
        return process

    def _sender(self, number: int) -> Sender:
        devices = [f"car-{device}" for device in range(number, _DEVICES, _SENDERS)]
        seed = self.options.seed * _SENDERS + number
        return Sender(self.url, self.ledger, devices, readings=_ENDLESS, seed=seed, style=_STYLE)

    def finish(self) -> Verdict:
        """Let the senders finish and everything drain, and compare."""
        for sender in self.senders:
            sender.giving_up.set()
        for sender in self.senders:
            sender.join(2 * _TIMEOUT_S)
        wait_until(lambda: self.status().pending == 0, "a drain", _TIMEOUT_S)
        with self._client() as client:
            return verify(self.ledger, client, self.settings)

    def status(self) -> Status:
        """What Tributary reports."""
        with self._client() as client:
            return status.read(client, self.settings)

    @contextlib.contextmanager
    def _client(self) -> Iterator[redis.Redis]:
        client = redis_client.connect(self.settings, socket_timeout=_TIMEOUT_S)
        try:
            yield client
        finally:
            client.close()

    def record_on(self, master: Node) -> None:
        """Have one reading accepted in a partition that this master holds, however often it takes."""
        held = {p for p in range(self.settings.partitions) if _holds(master, keys.meta(p))}
        device = next(
            name
            for name in (f"probe-{number}" for number in range(10_000))
            if keys.partition_of(name, self.settings.partitions) in held
        )
        wire = Wire(self.url, self.ledger, _STYLE)
        with contextlib.closing(wire):
            outcome = wire.send(Sent(device, 1, 1))
        assert outcome in {"ok", "dup"}, f"after the failover a reading is {outcome}"


def play(folder: Path, options: Options) -> Outcome:
    """One round."""
    trial = Trial(folder, options)
    with contextlib.closing(trial):
        place = trial.random.randrange(len(trial.cluster.masters))
        master, replica = trial.cluster.masters[place], trial.cluster.followers[place]
        _pause(options.load_s * (0.5 + trial.random.random() / 2))
        before = trial.ledger.answers["503"]
        if options.lag_ms:
            _detach(master, replica)
            _pause(options.lag_ms / 1000)
        answers_503 = trial.ledger.answers["503"] - before
        killed_s = time.monotonic()
        master.process.kill()
        since_ms = _since(killed_s)
        wait_until(lambda: _is_master(replica), "the replica to be promoted", _TIMEOUT_S)
        promoted_ms = since_ms()
        _attach(replica)
        master.start()  # not before: with appendonly no it would come back empty, as the master
        trial.record_on(replica)
        accepted_ms = since_ms()
        _pause(options.load_s)
        verdict = trial.finish()
        reported = trial.status().lost
    return Outcome(
        verdict.acknowledged,
        verdict.lost + verdict.uncounted,
        reported,
        verdict.duplicated + verdict.overcounted,
        answers_503,
        promoted_ms,
        accepted_ms,
        _problems(options, verdict),
    )


def _problems(options: Options, verdict: Verdict) -> list[str]:
    """What no level may do, and what this one promises not to do."""
    found = list(verdict.miscounted)
    if verdict.duplicated:
        found.append(f"{verdict.duplicated} readings are stored twice")
    if verdict.unexpected:
        found.append(f"{verdict.unexpected} readings are stored that were refused")
    if verdict.lost and options.level == "replicated":
        found.append(f"{verdict.lost} readings are lost that a replica had confirmed")
    return found


def _detach(master: Node, replica: Node) -> None:
    """Let the replica receive nothing any more: its master refuses its login."""
    replica.client.config_set("masteruser", "nobody")
    replica.client.config_set("masterauth", "nothing")
    master.client.client_kill_filter(_type="replica")
    wait_until(lambda: not master.client.info("replication")["connected_slaves"], "the cut")


def _attach(replica: Node) -> None:
    """Let it log in as before, should it ever be a replica again."""
    replica.client.config_set("masteruser", "")
    replica.client.config_set("masterauth", "")


def _is_master(node: Node) -> bool:
    return bool(node.client.info("replication")["role"] == "master")


def _holds(node: Node, key: str) -> bool:
    try:
        node.client.exists(key)
    except redis.ResponseError:  # MOVED
        return False
    return True


def _since(began_s: float) -> Callable[[], int]:
    return lambda: round((time.monotonic() - began_s) * 1000)


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)
