"""A Redis Cluster of real servers on loopback: masters and optional replicas."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import redis

from support.processes import Process
from support.waiting import wait_until

SLOTS = 16_384
LOOPBACK, NETWORK = "127.0.0.1", "127.1.0"
_NOTHING: Mapping[str, str] = MappingProxyType({})


def replication(client: redis.Redis) -> dict[str, object]:
    """INFO replication of a server; empty while it does not respond."""
    try:
        return dict(client.info("replication"))
    except redis.RedisError:
        return {}


class Node:
    """One server of the cluster; after a kill it can be restarted on its data."""

    def __init__(
        self, folder: Path, port: int, config: Mapping[str, str] = _NOTHING, host: str = LOOPBACK
    ) -> None:
        folder.mkdir(parents=True)
        self.host = host
        self.port = port
        self.command = [
            *("redis-server", "--port", str(port), "--bind", host, "--dir", str(folder)),
            # Protected mode would reject the others, which have addresses of their own.
            *("--bind-source-addr", host, "--protected-mode", "no"),
            *("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--save", ""),
            *("--appendonly", "yes", "--cluster-port", str(port + 10_000)),
            *("--repl-diskless-sync-delay", "0", "--logfile", str(folder / "log")),
            *(word for name, value in config.items() for word in (f"--{name}", value)),
        ]
        self.client = redis.Redis(host, port, socket_timeout=10)
        self.start()

    def start(self) -> None:
        """Start the server; see `is_up`."""
        self.process = Process(self.command)

    def is_up(self) -> bool:
        """Whether it responds; false if another process has taken its port."""
        wait_until(lambda: self.is_over or self._answers(), "the node to respond")
        return not self.is_over

    @property
    def is_over(self) -> bool:
        return self.process.popen.poll() is not None

    @property
    def replication(self) -> dict[str, object]:
        """As `replication`."""
        return replication(self.client)

    def holds(self, key: str) -> bool:
        """Whether the slot of a key is on it."""
        try:
            self.client.exists(key)
        except redis.ResponseError:  # MOVED
            return False
        return True

    def close(self) -> None:
        self.client.close()
        self.process.kill()

    def _answers(self) -> bool:
        try:
            return bool(self.client.info("server")["process_id"] == self.process.pid)
        except redis.RedisError:
            return False


class Move:
    """The move of a slot from one master to another, in steps."""

    def __init__(self, slot: int, source: Node, target: Node) -> None:
        self._slot = slot
        self._source = source
        self._target = target
        self._ids = [n.client.execute_command("CLUSTER", "MYID") for n in (source, target)]

    def begin(self) -> None:
        """From now on keys may be on either."""
        source, target = self._ids
        for node, state in ((self._target, ("IMPORTING", source)),
                            (self._source, ("MIGRATING", target))):  # fmt: skip
            node.client.execute_command("CLUSTER", "SETSLOT", self._slot, *state)

    def keys(self, *names: str) -> None:
        """Move some keys, or all."""
        where = (self._target.host, self._target.port, "", 0, 10_000)
        call = self._source.client.execute_command
        while found := names or call("CLUSTER", "GETKEYSINSLOT", self._slot, 10):
            call("MIGRATE", *where, "KEYS", *found)
            if names:
                return

    def end(self, masters: list[Node]) -> None:
        """The target holds the slot."""
        for node in (self._target, self._source, *masters):
            node.client.execute_command("CLUSTER", "SETSLOT", self._slot, "NODE", self._ids[1])


class Cluster:
    """Masters with equal shares of the slots, each with `replicas` replicas."""

    def __init__(
        self,
        folder: Path,
        *,
        masters: int = 3,
        replicas: int = 0,
        config: Mapping[str, str] = _NOTHING,
        has_own_addresses: bool = False,
    ) -> None:
        """`has_own_addresses`: each node has one, so that packets between two can be dropped."""
        self.nodes: list[Node] = []
        self._has_own_addresses = has_own_addresses
        self._config = config  # of each node, in addition to the cluster options
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(self.close)
            self._build(folder, masters, replicas)
            cleanup.pop_all()

    def _build(self, folder: Path, masters: int, replicas: int) -> None:
        ports = free_ports()
        while len(self.nodes) < masters * (1 + replicas):
            port, number = next(ports), len(self.nodes) + 1
            host = f"{NETWORK}.{number}" if self._has_own_addresses else LOOPBACK
            self.nodes.append(Node(folder / str(port), port, self._config, host))
            if not self.nodes[-1].is_up():
                self.nodes.pop().close()
        # Of every node, since the first one may be paused.
        hosts = [f"{node.host}:{node.port}" for node in self.nodes]
        self.url = f"redis://{','.join(hosts) if self._has_own_addresses else hosts[0]}"
        self.masters, followers = self.nodes[:masters], self.nodes[masters:]
        self.followers = followers  # initially, number n replicates master n % masters
        for node in self.nodes[1:]:
            self.nodes[0].client.execute_command("CLUSTER", "MEET", node.host, node.port)
        for number, node in enumerate(self.masters):
            first, last = number * SLOTS // masters, (number + 1) * SLOTS // masters - 1
            node.client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        wait_until(lambda: all(map(self._is_whole, self.nodes)), "the nodes to know each other", 60)
        for number, node in enumerate(followers):
            master = self.masters[number % masters].client
            id_ = master.execute_command("CLUSTER", "MYID")
            node.client.execute_command("CLUSTER", "REPLICATE", id_)
        for node in followers:
            wait_until(lambda node=node: self._is_following(node), "the replicas to follow", 60)

    def move(self, slot: int, source: Node, target: Node) -> None:
        """Move a slot with its keys from one master to another, as `redis-cli` does."""
        move = Move(slot, source, target)
        move.begin()
        move.keys()
        move.end(self.masters)

    def holder(self, slot: int) -> Node:
        """The master that holds a slot."""
        for first, last, (_, port, *_), *_ in self.nodes[0].client.execute_command(
            "CLUSTER", "SLOTS"
        ):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise AssertionError(f"nobody holds slot {slot}")

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    def _is_following(self, node: Node) -> bool:
        return node.client.info("replication").get("master_link_status") == "up"

    def _is_whole(self, node: Node) -> bool:
        info = node.client.execute_command("CLUSTER", "INFO").decode()
        known = dict(line.split(":", 1) for line in info.split())
        return known["cluster_state"] == "ok" and known["cluster_known_nodes"] == str(
            len(self.nodes)
        )


def free_ports() -> Iterator[int]:
    """Ports that are free together with the one 10,000 above, which the cluster uses."""
    ports = random.sample(range(21_000, 29_000), k=8_000)
    return filter(_is_free, ports)


def _is_free(port: int) -> bool:
    for number in (port, port + 10_000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.connect_ex(("127.0.0.1", number)) == 0:
                return False
    return True
