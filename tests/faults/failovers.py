"""What an automatic failover of a Redis Cluster loses, by durability level.

Each round starts a cluster (3 masters, 3 replicas), ingest and aggregators, records readings of
many devices, kills one master with SIGKILL, and waits until its replica is promoted. Then it
restarts the killed node, as an operator or a supervisor would, and compares the ledger with the
data in the cluster.

The link of a lagging replica is down for some time before the kill: the replica gets wrong
credentials, and the link is closed. SIGSTOP would not do, because a process that continues reads
what its kernel has received.
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
_UNLIMITED = 1 << 40  # readings
_STYLE = Style((1, 2, 5), pause_s=0.005, is_keyed=True, timeout_s=5.0)
_CONFIG = MappingProxyType({
    "memory": {"appendonly": "no"},
    "aof": {"appendfsync": "everysec"},
    "fsync": {"appendfsync": "always"},
    "replicated": {"appendfsync": "always"},
})  # fmt: skip


class Options(NamedTuple):
    """The options of one round."""

    level: Level
    lag_ms: int = 0  # how long the replica has received nothing when its master is killed
    seed: int = 1  # of the master, the time of the kill, and the load
    load_s: float = 3.0  # before and after the kill


class Outcome(NamedTuple):
    """The result of one round; in readings unless a unit is named."""

    acknowledged: int
    lost: int  # acknowledged, but not stored or not counted
    reported_lost: int  # by `tributary status`
    duplicated: int  # stored or counted twice
    responses_503: int  # before the kill, while the replica lagged
    promoted_ms: int  # from the kill until the promotion
    accepted_ms: int  # from the kill until a reading of its partitions is accepted
    violations: list[str]  # of the guarantee of the level


class ClusterRig:
    """A cluster with ingest, aggregators and senders."""

    def __init__(self, folder: Path, options: Options) -> None:
        self.options = options
        self.random = random.Random(options.seed)
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(self.close)
            self._start(folder)
            cleanup.pop_all()

    def close(self) -> None:
        """Stop all processes and senders."""
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
        wait_until(
            lambda: self.ledger.acknowledged > _DEVICES, "readings to be accepted", _TIMEOUT_S
        )

    def _run(self, *arguments: str) -> Process:
        process = tributary(*arguments, environ=environ(self.settings))
        self._stack.callback(process.kill)
        return process

    def _sender(self, number: int) -> Sender:
        devices = [f"car-{device}" for device in range(number, _DEVICES, _SENDERS)]
        seed = self.options.seed * _SENDERS + number
        return Sender(self.url, self.ledger, devices, readings=_UNLIMITED, seed=seed, style=_STYLE)

    def finish(self) -> Verdict:
        """Stop the senders, wait for the drain, and compare the ledger with the cluster."""
        for sender in self.senders:
            sender.giving_up.set()
        for sender in self.senders:
            sender.join(2 * _TIMEOUT_S)
        wait_until(lambda: self.status().pending == 0, "a drain", _TIMEOUT_S)
        with self._client() as client:
            return verify(self.ledger, client, self.settings)

    def status(self) -> Status:
        """The status that Tributary reports."""
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
        """Record one reading in a partition that this master holds, retrying until accepted."""
        partitions = {p for p in range(self.settings.partitions) if _holds(master, keys.meta(p))}
        device = next(
            name
            for name in (f"probe-{number}" for number in range(10_000))
            if keys.partition_of(name, self.settings.partitions) in partitions
        )
        with contextlib.closing(Wire(self.url, self.ledger, _STYLE)) as wire:
            outcome = wire.send(Sent(device, 1, 1))
        assert outcome in {"ok", "dup"}, f"a reading after the failover: {outcome}"


def run_failover(folder: Path, options: Options) -> Outcome:
    """Run one round."""
    rig = ClusterRig(folder, options)
    with contextlib.closing(rig):
        index = rig.random.randrange(len(rig.cluster.masters))
        master, replica = rig.cluster.masters[index], rig.cluster.followers[index]
        _pause(options.load_s * (0.5 + rig.random.random() / 2))
        before = rig.ledger.responses["503"]
        if options.lag_ms:
            _detach(master, replica)
            _pause(options.lag_ms / 1000)
        responses_503 = rig.ledger.responses["503"] - before
        killed_s = time.monotonic()
        master.process.kill()
        since_ms = _stopwatch_ms(killed_s)
        wait_until(lambda: _is_master(replica), "the replica to be promoted", _TIMEOUT_S)
        promoted_ms = since_ms()
        _attach(replica)
        master.start()  # only now: with `appendonly no` it would restart empty, and as the master
        rig.record_on(replica)
        accepted_ms = since_ms()
        _pause(options.load_s)
        verdict = rig.finish()
        reported_lost = rig.status().lost
    return Outcome(
        verdict.acknowledged,
        verdict.lost + verdict.uncounted,
        reported_lost,
        verdict.duplicated + verdict.overcounted,
        responses_503,
        promoted_ms,
        accepted_ms,
        _violations(options, verdict),
    )


def _violations(options: Options, verdict: Verdict) -> list[str]:
    """Violations of what every level guarantees, and of what this one does."""
    found = list(verdict.miscounted)
    if verdict.duplicated:
        found.append(f"{verdict.duplicated} readings are stored twice")
    if verdict.unexpected:
        found.append(f"{verdict.unexpected} readings that were refused are stored")
    if verdict.lost and options.level == "replicated":
        found.append(f"{verdict.lost} readings that a replica had confirmed are lost")
    return found


def _detach(master: Node, replica: Node) -> None:
    """Break the replication link: the replica logs in with wrong credentials."""
    replica.client.config_set("masteruser", "nobody")
    replica.client.config_set("masterauth", "nothing")
    master.client.client_kill_filter(_type="replica")
    wait_until(
        lambda: not master.client.info("replication")["connected_slaves"], "the link to break"
    )


def _attach(replica: Node) -> None:
    """Restore the credentials, for when it is a replica again."""
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


def _stopwatch_ms(began_s: float) -> Callable[[], int]:
    return lambda: round((time.monotonic() - began_s) * 1000)


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)
