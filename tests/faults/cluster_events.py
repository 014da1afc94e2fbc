"""What happens to the masters of a Redis Cluster, and to its slots.

A master that is cut off has lost its links to all other nodes, since packets between their
addresses are dropped; clients have another address, and reach it.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import click
import redis
from redis.crc import key_slot
from support.cluster import NETWORK, Cluster, Node
from support.waiting import wait_until

from faults.events import Event, Options, Times
from faults.failover_load import CONFIG, PARTITIONS, TIMEOUT_S
from tributary.model.clock import utc_ms
from tributary.store import keys


class ClusterSite:
    """Three masters, each with a replica."""

    def __init__(self, folder: Path, options: Options, chance: random.Random) -> None:
        is_cut_off = options.event == "cluster-cut-off"
        if is_cut_off and (os.geteuid() or shutil.which("iptables") is None):
            raise click.ClickException("cluster-cut-off needs iptables, and root")
        # To move a slot, masters need replicas for `replicated` only.
        replicas = 0 if (options.event, options.level) == ("moved", "aof") else 1
        self._cluster = Cluster(
            folder, replicas=replicas, config=CONFIG[options.level], has_own_addresses=True
        )
        self._is_replicated = options.level == "replicated"
        self._random = chance
        self.url = self._cluster.url

    def close(self) -> None:
        """Stop the servers."""
        for node in self._cluster.nodes:
            _heal(node)
            with contextlib.suppress(ProcessLookupError):
                node.process.signal(signal.SIGCONT)
        self._cluster.close()

    def strike(self, event: Event, rest: Callable[[], None]) -> Times:
        """Cause the event, and wait until every node is back and in sync."""
        if event == "moved":
            return self._move(rest)
        if event == "cluster-restarted":
            return self._restart_all()
        old, partitions = self._random.choice(self._holders())
        new = self._replica_of(old)
        began_ms = utc_ms()
        getattr(self, f"_{event.removeprefix('cluster-').replace('-', '_')}")(old, new)
        self._wait_for(new)
        changed_ms = utc_ms()
        if self._is_replicated:  # nothing is accepted while the new master has no replica
            self._bring_back(old, event)
        before = _entries(new, partitions)
        wait_until(
            lambda: _entries(new, partitions) > before, "readings on the new master", TIMEOUT_S
        )
        followed_ms = utc_ms() - changed_ms
        rest()
        if not self._is_replicated:
            self._bring_back(old, event)
        self._wait_until_whole()
        return Times(began_ms, changed_ms, followed_ms, partitions)

    def _bring_back(self, old: Node, event: Event) -> None:
        if event == "cluster-killed":
            old.start()
        elif event == "cluster-paused":
            old.process.signal(signal.SIGCONT)
        elif event == "cluster-cut-off":
            _heal(old)

    def _killed(self, old: Node, _new: Node) -> None:
        old.process.kill()

    def _paused(self, old: Node, _new: Node) -> None:
        old.process.signal(signal.SIGSTOP)

    def _cut_off(self, old: Node, _new: Node) -> None:
        _cut_off(old)

    def _promoted(self, _old: Node, new: Node) -> None:
        _call(new, "CLUSTER", "FAILOVER")

    def _forced(self, _old: Node, new: Node) -> None:
        _call(new, "CLUSTER", "FAILOVER", "FORCE")

    def _takeover(self, _old: Node, new: Node) -> None:
        _call(new, "CLUSTER", "FAILOVER", "TAKEOVER")

    def _move(self, rest: Callable[[], None]) -> Times:
        """Move the slot of a random partition to another master."""
        partition = self._random.randrange(PARTITIONS)
        slot = key_slot(keys.meta(partition).encode())
        source = next(node for node, held in self._holders() if partition in held)
        target = self._random.choice([node for node in self._masters() if node is not source])
        began_ms = utc_ms()
        self._cluster.move(slot, source, target)
        changed_ms = utc_ms()
        rest()
        return Times(began_ms, changed_ms, 0, (partition,))

    def _restart_all(self) -> Times:
        """Restart every node, a master after its replica was promoted, as for an upgrade."""
        began_ms = utc_ms()
        for node in self._cluster.nodes:
            if node.replication["role"] == "master":
                new = self._replica_of(node)
                _call(new, "CLUSTER", "FAILOVER")
                self._wait_for(new)
                self._wait_until_whole()
            node.process.stop()
            node.start()
            assert node.is_up(), node.process.text
            self._wait_until_whole()
        return Times(began_ms, utc_ms(), 0, range(PARTITIONS))

    def _masters(self) -> list[Node]:
        return [node for node in self._cluster.nodes if node.replication.get("role") == "master"]

    def _holders(self) -> list[tuple[Node, list[int]]]:
        """The masters that hold partitions, and which."""
        held = [
            (node, [p for p in range(PARTITIONS) if node.holds(keys.meta(p))])
            for node in self._masters()
        ]
        return [(node, partitions) for node, partitions in held if partitions]

    def _replica_of(self, master: Node) -> Node:
        return next(
            node
            for node in self._cluster.nodes
            if node.replication.get("master_port") == master.port
        )

    def _wait_for(self, new: Node) -> None:
        wait_until(lambda: new.replication.get("role") == "master", "a promotion", TIMEOUT_S)

    def _wait_until_whole(self) -> None:
        wait_until(self._is_whole, "every node to be in sync", TIMEOUT_S)

    def _is_whole(self) -> bool:
        states = [node.replication for node in self._cluster.nodes]
        links = [each.get("master_link_status") for each in states if each.get("role") == "slave"]
        masters = [each for each in states if each.get("role") == "master"]
        if links != ["up"] * (len(states) - len(masters)) or len(masters) != len(
            self._cluster.masters
        ):
            return False
        return all(b"cluster_state:ok" in _cluster_info(node) for node in self._cluster.nodes)


def _cut_off(node: Node) -> None:
    for rule in _rules(node):
        subprocess.run(["iptables", "-I", "INPUT", *rule], check=True)


def _heal(node: Node) -> None:
    for rule in _rules(node):
        command = ["iptables", "-D", "INPUT", *rule]
        while subprocess.run(command, check=False, capture_output=True).returncode == 0:
            pass


def _rules(node: Node) -> list[list[str]]:
    """Of iptables: drop what a node sends to the others, and they to it."""
    network = f"{NETWORK}.0/24"
    return [
        ["-s", node.host, "-d", network, "-j", "DROP"],
        ["-s", network, "-d", node.host, "-j", "DROP"],
    ]


def _cluster_info(node: Node) -> bytes:
    try:
        return bytes(_call(node, "CLUSTER", "INFO"))
    except redis.RedisError:
        return b""


def _call(node: Node, *command: str) -> Any:
    return node.client.execute_command(*command)  # type: ignore[no-untyped-call]


def _entries(node: Node, partitions: Collection[int]) -> int:
    """How many entries have ever been appended to partitions; 0 while the node does not reply."""
    try:
        return sum(int(node.client.hget(keys.meta(p), "entries") or 0) for p in partitions)
    except redis.RedisError:
        return 0
