"""A master with replicas, watched by sentinels: real servers on loopback."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import redis

from support.cluster import free_ports, replication
from support.processes import Process
from support.waiting import wait_until

NAME = "cars"  # of the master
SENTINELS = 3
_NOTHING: Mapping[str, str] = MappingProxyType({})
# Sentinels and replicas have users of their own, so that the master can be cut off from them.
_USERS = ("sentinel", "replica")
_PASSWORD = "of-the-servers"  # with none, a rejected login would be the default user
_SERVER = """
save ""
appendonly yes
repl-diskless-sync-delay 0
user default on >of-the-servers ~* &* +@all
user sentinel on >guard ~* &* +@all
user replica on >copy ~* &* +@all
masteruser replica
masterauth copy
"""


class Node:
    """One server or sentinel with its configuration file, which it may rewrite."""

    def __init__(
        self, folder: Path, port: int, text: str, *options: str, user: str = "", password: str = ""
    ) -> None:
        folder.mkdir(parents=True)
        self.port = port
        self._file = folder / "redis.conf"
        self._log = folder / "log"
        own = f"bind 127.0.0.1\nport {port}\ndir {folder}\nlogfile {self._log}\n"
        self._file.write_text(own + text)
        self._options = options
        self.client = redis.Redis(
            port=port, socket_timeout=5, username=user or None, password=password or None
        )
        self.start()

    def start(self) -> None:
        """Start the process, again after a kill, and wait until it responds."""
        self.process = Process(["redis-server", str(self._file), *self._options])
        wait_until(self._is_up, f"the server on port {self.port} to respond")

    def close(self) -> None:
        """Kill the process."""
        self.client.close()
        self.process.kill()

    @property
    def replication(self) -> dict[str, object]:
        """As `replication`."""
        return replication(self.client)

    def cut_off(self) -> None:
        """Break its links to sentinels and replicas; clients keep theirs."""
        for user in _USERS:
            self.client.execute_command("ACL", "SETUSER", user, "off")
            self.client.execute_command("CLIENT", "KILL", "USER", user)

    def heal(self) -> None:
        """Allow the links that `cut_off` broke."""
        for user in _USERS:
            self.client.execute_command("ACL", "SETUSER", user, "on")

    def _is_up(self) -> bool:
        assert self.process.popen.poll() is None, self._log.read_text()
        try:
            return bool(self.client.info("server")["process_id"] == self.process.pid)
        except redis.RedisError:
            return False


class Sentinels:
    """A master, its replicas, and three sentinels that know each other."""

    def __init__(
        self,
        folder: Path,
        *,
        replicas: int = 2,
        config: Mapping[str, str] = _NOTHING,
        down_after_ms: int = 1000,
        password: str = "",
    ) -> None:
        """`password`: that of the user `watcher` of the sentinels; empty: they need no login."""
        user = "watcher" if password else ""
        self._stack = contextlib.ExitStack()
        self.servers: list[Node] = []
        self.sentinels: list[Node] = []
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(self.close)
            ports = free_ports()
            text = _SERVER + "".join(f"{name} {value}\n" for name, value in config.items())
            for number in range(1 + replicas):
                own = text + (f"replicaof 127.0.0.1 {self.servers[0].port}\n" if number else "")
                self.servers.append(
                    self._run(
                        Node(folder / f"server-{number}", next(ports), own, password=_PASSWORD)
                    )
                )
            wait_until(self._are_linked, "the replicas to follow", 60)
            watched = _watching(self.servers[0].port, down_after_ms, password)
            for number in range(SENTINELS):
                place = folder / f"sentinel-{number}"
                node = Node(place, next(ports), watched, "--sentinel", user=user, password=password)
                self.sentinels.append(self._run(node))
            wait_until(self._know_each_other, "the sentinels to know each other", 60)
            cleanup.pop_all()
        login = f"?sentinel_username=watcher&sentinel_password={password}" if password else ""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.sentinels)
        self.url = f"redis+sentinel://:{_PASSWORD}@{hosts}/{NAME}/0{login}"

    def close(self) -> None:
        """Kill all processes."""
        self._stack.close()

    @property
    def master(self) -> Node:
        """The server that the first sentinel names."""
        return self.named_by(self.sentinels[0])

    def named_by(self, sentinel: Node) -> Node:
        """The server that a sentinel names."""
        port = sentinel.client.sentinel_get_master_addr_by_name(NAME)[1]
        return next(node for node in self.servers if node.port == int(port))

    def wait_for_another(self, old: Node, timeout_s: float = 60.0) -> Node:
        """Wait until every sentinel names another master; returns it."""
        wait_until(lambda: self._all_name_another(old), "a failover", timeout_s)
        return self.master

    def wait_until_whole(self, timeout_s: float = 60.0) -> None:
        """Wait until every server but the master follows it."""
        wait_until(self._are_linked, "the servers to follow the master", timeout_s)

    def _run(self, node: Node) -> Node:
        self._stack.callback(node.close)
        self._stack.callback(node.process.signal, signal.SIGCONT)
        return node

    def _all_name_another(self, old: Node) -> bool:
        named = self._named()
        return old.port not in named and len(set(named)) == 1

    def _named(self) -> list[int]:
        """The port that each sentinel names."""
        addresses = [node.client.sentinel_get_master_addr_by_name(NAME) for node in self.sentinels]
        return [int(port) for _, port in addresses]

    def _are_linked(self) -> bool:
        states = [node.replication for node in self.servers]
        links = [
            state.get("master_link_status") for state in states if state.get("role") == "slave"
        ]
        return links == ["up"] * (len(self.servers) - 1)

    def _know_each_other(self) -> bool:
        states = [node.client.sentinel_master(NAME) for node in self.sentinels]
        others = [(state["num-slaves"], state["num-other-sentinels"]) for state in states]
        return others == [(len(self.servers) - 1, SENTINELS - 1)] * SENTINELS


class Announcements:
    """When a sentinel first announced another master, in monotonic seconds."""

    def __init__(self, node: Node) -> None:
        self._pubsub = node.client.pubsub(ignore_subscribe_messages=True)
        self._pubsub.subscribe("+switch-master")
        self._pubsub.get_message(timeout=1)
        self.at_s: float | None = None

    def poll(self) -> bool:
        """Whether there has been one."""
        if self.at_s is None and self._pubsub.get_message(timeout=0.001) is not None:
            self.at_s = time.monotonic()
        return self.at_s is not None

    def close(self) -> None:
        self._pubsub.close()


def _watching(port: int, down_after_ms: int, password: str) -> str:
    access = f"user watcher on >{password} ~* &* +@all\nuser default off\n" if password else ""
    peers = (
        f"sentinel sentinel-user watcher\nsentinel sentinel-pass {password}\n" if password else ""
    )
    return (
        f"sentinel monitor {NAME} 127.0.0.1 {port} 2\n"
        f"sentinel auth-user {NAME} sentinel\n"
        f"sentinel auth-pass {NAME} guard\n"
        f"sentinel down-after-milliseconds {NAME} {down_after_ms}\n"
        f"sentinel failover-timeout {NAME} 3000\n"
        f"sentinel parallel-syncs {NAME} 2\n{peers}{access}"
    )
