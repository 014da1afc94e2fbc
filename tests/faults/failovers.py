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
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from support.cluster import Cluster, Node
from support.ledger import Sent
from support.senders import Wire
from support.waiting import wait_until

from faults.failover_load import CONFIG, STYLE, TIMEOUT_S, Level, Load, violations
from tributary.store import keys


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
        with contextlib.ExitStack() as cleanup:
            config = CONFIG[options.level]
            self.cluster = Cluster(folder / "cluster", replicas=1, config=config)
            cleanup.callback(self.cluster.close)
            self.load = Load(folder, self.cluster.url, options.level, options.seed)
            cleanup.callback(self.load.close)
            self._stack = cleanup.pop_all()

    def close(self) -> None:
        """Stop all processes and senders."""
        self._stack.close()

    def record_on(self, master: Node) -> None:
        """Record one reading in a partition that this master holds, retrying until accepted."""
        partitions = {p for p in range(self.load.settings.partitions) if master.holds(keys.meta(p))}
        device = next(
            name
            for name in (f"probe-{number}" for number in range(10_000))
            if keys.partition_of(name, self.load.settings.partitions) in partitions
        )
        with contextlib.closing(Wire(self.load.url, self.load.ledger, STYLE)) as wire:
            outcome = wire.send(Sent(device, 1, 1))
        assert outcome in {"ok", "dup"}, f"a reading after the failover: {outcome}"


def run_failover(folder: Path, options: Options) -> Outcome:
    """Run one round."""
    rig = ClusterRig(folder, options)
    with contextlib.closing(rig):
        index = rig.random.randrange(len(rig.cluster.masters))
        master, replica = rig.cluster.masters[index], rig.cluster.followers[index]
        _pause(options.load_s * (0.5 + rig.random.random() / 2))
        before = rig.load.ledger.responses["503"]
        if options.lag_ms:
            _detach(master, replica)
            _pause(options.lag_ms / 1000)
        responses_503 = rig.load.ledger.responses["503"] - before
        killed_s = time.monotonic()
        master.process.kill()
        since_ms = _stopwatch_ms(killed_s)
        wait_until(lambda: _is_master(replica), "the replica to be promoted", TIMEOUT_S)
        promoted_ms = since_ms()
        _attach(replica)
        master.start()  # only now: with `appendonly no` it would restart empty, and as the master
        rig.record_on(replica)
        accepted_ms = since_ms()
        _pause(options.load_s)
        verdict = rig.load.finish()
        reported_lost = rig.load.status().lost
    return Outcome(
        verdict.acknowledged,
        verdict.lost + verdict.uncounted,
        reported_lost,
        verdict.duplicated + verdict.overcounted,
        responses_503,
        promoted_ms,
        accepted_ms,
        violations(options.level, verdict),
    )


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


def _stopwatch_ms(began_s: float) -> Callable[[], int]:
    return lambda: round((time.monotonic() - began_s) * 1000)


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)
