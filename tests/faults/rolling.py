"""A deployment whose processes are restarted one after the other under load, behind nginx.

There are two processes of each role, and nginx with the configuration of docs/recipes.md; jobs and
bridges (`rolling_jobs.py`) only without a previous release.
Senders record through it, readers collect through it, and both note every response that is not
a 200. Each process runs the code of a folder, so it can be replaced by another release.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from support.ledger import Verdict, verify
from support.pipeline import DEVICES, Load
from support.processes import ROOT, Process, Server
from support.programs import needed
from support.senders import Style
from support.waiting import wait_until

from faults.job_asker import Asker
from faults.reader import Reader
from faults.rolling_jobs import Beside
from faults.rolling_node import HOST, TIMEOUT_S, Node
from faults.tree import free_port
from tributary.operate import status
from tributary.settings import Settings
from tributary.store import redis_client

ROLES = ("ingest", "api", "aggregator")  # in the order in which they are to be upgraded
BESIDE = ("mqtt", "jobs")  # restarted, too, but not upgraded here
PER_ROLE = 2
_STYLE = Style((1, 2, 5), pause_s=0.01, timeout_s=30.0)
_UNLIMITED = 1 << 40  # readings
_BETWEEN = 20  # readings between two restarts
# Ports of the recipe, in order: of nginx and of the processes.
_LISTENING = {"listen 80;": "ingest", "listen 81;": "api"}
_UPSTREAM = re.compile(rf"{re.escape(HOST)}:(800\d)")


class Restart(NamedTuple):
    """How long one process took."""

    role: str
    stopped_s: float  # from SIGTERM to its exit
    ready_s: float  # from its start until it serves


class Outcome(NamedTuple):
    """The result of a run."""

    restarts: list[Restart]
    verdict: Verdict
    sent: Counter[str]  # requests to record by status, or by exception
    collected: Counter[str]  # requests to collect, likewise
    backwards: int  # responses of /collect that were older than the one before
    longest_s: float  # that a response took
    problems: list[str]
    may_refuse: bool  # a release that is replaced may refuse requests; they are repeated
    beside: str  # what became of messages and jobs

    @property
    def client_errors(self) -> int:
        """Requests without a 200."""
        return sum((self.sent + self.collected).values()) - self.sent["200"] - self.collected["200"]

    @property
    def violations(self) -> list[str]:
        """What should not have happened."""
        verdict, found = self.verdict, list(self.problems)
        if self.client_errors and not self.may_refuse:
            found.append(f"errors: recording {dict(self.sent)}, collecting {dict(self.collected)}")
        if verdict.lost or verdict.uncounted:
            found.append(f"{verdict.lost + verdict.uncounted} acknowledged readings are lost")
        if verdict.duplicated or verdict.overcounted:
            found.append(f"{verdict.duplicated + verdict.overcounted} readings are counted twice")
        if verdict.unexpected or self.backwards:
            found.append(
                f"{verdict.unexpected} refused are stored, {self.backwards} went backwards"
            )
        return found + verdict.miscounted


class Rolling:
    """The deployment, its load, and its restarts."""

    def __init__(self, folder: Path, seed: int, previous: Path | None = None) -> None:
        """Start everything, with the code of a previous release if one is given."""
        self._folder = folder
        self._may_refuse = previous is not None
        self._stack = contextlib.ExitStack()
        self.restarts: list[Restart] = []
        self.problems: list[str] = []
        try:
            self._start(folder, seed, previous or ROOT)
        except BaseException:
            self._stack.close()
            raise

    def _start(self, folder: Path, seed: int, tree: Path) -> None:
        self.server = Server(folder / "redis", appendfsync="always")
        self._stack.callback(self.server.close)
        data = str(folder / "data")
        self.settings = Settings(redis_url=self.server.url, partitions=8, data_dir=data)
        self.shared = {
            "PARTITIONS": "8", "INGEST_WORKERS": "1", "STREAM_MAX_ENTRIES": "10000000",
            "HEARTBEAT_MS": "100", "DATA_DIR": data,
        }  # fmt: skip
        self._beside: Beside | None = None
        if not self._may_refuse:
            self._beside = Beside(folder, self.settings, PER_ROLE)
            self._stack.callback(self._beside.close)
        self.nodes = [
            self._node(role, number)
            for role in (*ROLES, *(BESIDE if self._beside else ()))
            for number in range(PER_ROLE)
        ]
        self._stack.callback(self._kill_all)
        for node in self.nodes:
            node.start(tree, self.shared)
        for node in self.nodes:
            wait_until(node.is_ready, f"{node.role} to be ready", TIMEOUT_S)
        ingest, api = self._start_nginx(folder)
        ledger = folder / "ledger.jsonl"
        # Without a key, as most clients send. A request that the previous release loses is repeated.
        style = _STYLE._replace(is_keyed=self._may_refuse)
        self.load = Load(ingest, ledger, readings=_UNLIMITED, seed=seed, style=style)
        self._stack.callback(self.load.close)
        wait_until(self._are_all_visible, "a reading of each device", TIMEOUT_S)
        if self._beside:
            acknowledged = lambda: self.load.ledger.acknowledged  # noqa: E731
            self._beside.start(Asker(self.settings, ingest, api, acknowledged))
        self._readers = [Reader(api), Reader(api)]
        for reader in self._readers:
            reader.start()
            self._stack.callback(reader.ending.set)

    def _node(self, role: str, number: int) -> Node:
        own = self._beside.environ(role, number) if self._beside else {}
        port = free_port() if role in _LISTENING.values() else 0
        return Node(role, self.server.url, port, own)

    def restart(self, node: Node, tree: Path = ROOT) -> None:
        """Stop a process and start it with the code in a folder, while the load goes on."""
        before = self.load.ledger.acknowledged
        began_s = time.monotonic()
        self.problems += node.stop()
        stopped_s = time.monotonic()
        node.start(tree, self.shared)
        wait_until(node.is_ready, f"{node.role} to be ready", TIMEOUT_S)
        if node.role == "aggregator":
            wait_until(self._are_aggregators_live, "the aggregators", TIMEOUT_S)
        ready_s = time.monotonic()
        self.restarts.append(Restart(node.role, stopped_s - began_s, ready_s - stopped_s))
        self.load.wait_for(before + _BETWEEN, TIMEOUT_S)

    def rounds(self, count: int) -> Iterator[Node]:
        """Restart every process `count` times in order; yields each."""
        for _ in range(count):
            for node in self.nodes:
                self.restart(node)
                yield node

    def outcome(self) -> Outcome:
        """End the load, wait until everything is applied, and compare."""
        for reader in self._readers:
            reader.ending.set()
            reader.join(TIMEOUT_S)
        self.load.finish(TIMEOUT_S)
        if self._beside:
            self._beside.finish()
        client = redis_client.connect(self.settings, socket_timeout=60)
        with contextlib.closing(client):
            wait_until(lambda: status.read(client, self.settings).pending == 0, "a drain", 120)
            found = status.read(client, self.settings)
            if found.dead or found.lost:
                self.problems.append(f"{found.dead} readings are dead, {found.lost} lost")
            verdict = verify(self.load.ledger, client, self.settings)
        beside = ""
        if self._beside:
            beside, problems = self._beside.outcome()
            self.problems += problems
        for node in self.nodes:
            self.problems += node.stop()
        # What nginx has to say about a response that is not a 200.
        refused = re.compile(r"connect\(\) failed")  # the other one is tried, with no error
        lines = (self._folder / "log").read_text().splitlines()
        if not self._may_refuse:
            self.problems += [line for line in lines if not refused.search(line)][:5]
        return Outcome(
            self.restarts, verdict, self.load.ledger.responses,
            sum((reader.statuses for reader in self._readers), Counter()),
            sum(reader.backwards for reader in self._readers),
            max(reader.longest_s for reader in self._readers), self.problems,
            self._may_refuse, beside,
        )  # fmt: skip

    def close(self) -> None:
        """Stop what is left."""
        self._stack.close()

    def _start_nginx(self, folder: Path) -> tuple[str, str]:
        """Start nginx with the recipe; the URLs for sensors and for apps."""
        ports = {role: free_port() for role in _LISTENING.values()}
        text = recipe()
        for listen, role in _LISTENING.items():
            text = text.replace(listen, f"listen {HOST}:{ports[role]};")
        upstream = iter([node.port for node in self.nodes if node.port])
        text = _UPSTREAM.sub(lambda _: f"{HOST}:{next(upstream)}", text)
        main = folder / "nginx.conf"
        main.write_text(main_file(folder, text))
        words = [needed("nginx"), "-e", str(folder / "log"), "-c", str(main)]
        nginx = Process(words, is_forked=False)
        self._stack.callback(nginx.stop)
        for port in ports.values():
            wait_until(lambda port=port: _accepts(port), "nginx to listen")  # type: ignore[misc]
        return f"http://{HOST}:{ports['ingest']}", f"http://{HOST}:{ports['api']}"

    def _are_all_visible(self) -> bool:
        return status.read(self.server.client, self.settings).devices >= DEVICES

    def _are_aggregators_live(self) -> bool:
        return len(status.aggregators_alive(self.server.client, self.settings)) == PER_ROLE

    def _kill_all(self) -> None:
        for node in self.nodes:
            if node.process is not None:
                node.process.kill()


def recipe() -> str:
    """The configuration of nginx in docs/recipes.md for two processes of each role."""
    text = (ROOT / "docs/recipes.md").read_text()
    return next(
        str(block)
        for block in re.findall(r"```nginx\n(.*?)```", text, re.DOTALL)
        if "upstream" in block
    )


def main_file(folder: Path, text: str) -> str:
    """A main file of nginx with a configuration in it, whose files are in `folder`."""
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{name}_temp_path {folder}/{name};\n" for name in names)
    return (
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/log;\n"
        f"events {{}}\nhttp {{\n{temporary}{text}}}\n"
    )


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection((HOST, port), 1).close()
        return True
    return False
