"""The spool storm: kill the client, the network and the server, and count what arrives.

A program (`spool_client`) records numbered readings into a spool; between it and `tributary up` is
a proxy. In the end everything that was recorded must have been counted, each reading once.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from support.http_proxy import HttpProxy
from support.processes import ROOT, Process, request, tributary
from support.waiting import wait_until

from faults import kills, tree
from faults.spool_client import DEVICES, METRIC
from tributary.client import Spooled, Tributary

KINDS = ("client", "network", "server")
_NETWORK = ("before", "within", "after", "after", "cut")
_SERVER = ("HTTP worker", "web", "server", "up")
_RECOVERY_TIMEOUT_S = 60.0
_READINGS_AFTER = 20  # that arrive before the next kill


class Outcome(NamedTuple):
    """What was recorded, counted, and done: kills by kind and detail."""

    spooled: Spooled
    counted: int
    sum: float
    kills: Counter[tuple[str, str]]
    problems: list[str]

    @property
    def violations(self) -> list[str]:
        """Why this is not exactly once."""
        recorded, found = self.spooled.recorded, list(self.problems)
        if self.counted != recorded:
            found.append(f"recorded {recorded}, counted {self.counted}")
        elif abs(self.sum - recorded * (recorded - 1) / 2) > 0.5:
            found.append("some readings are lost and others counted twice")
        if self.spooled.accepted != recorded:
            found.append(f"the spool has delivered {self.spooled.accepted} of {recorded}")
        return found


class SpoolStorm:
    """A deployment, a proxy, and a program with a spool."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._data_dir = folder.resolve() / "data"
        self._spool = folder / "readings.spool"
        self._random = random.Random(seed)
        self._port = tree.free_port()
        self._url = f"http://127.0.0.1:{self._port}"
        self._kills: Counter[tuple[str, str]] = Counter()
        self._problems: list[str] = []
        self._proxy = HttpProxy(self._port)
        self._start_server()
        self._start_client()

    def run(self, rounds: int) -> Iterator[str]:
        """Kill each kind `rounds` times in random order; yields the kind."""
        deck = [kind for kind in KINDS for _ in range(rounds)]
        self._random.shuffle(deck)
        for kind in deck:
            detail = {
                "client": self._kill_client,
                "network": self._break_network,
                "server": self._kill_server,
            }[kind]()
            self._kills[kind, detail] += 1
            yield kind
            self._wait_for(self._counted()[0] + self._random.randrange(1, _READINGS_AFTER))

    def outcome(self) -> Outcome:
        """Stop the program, deliver the rest, and compare."""
        if self._client.stop() != 0:
            self._problems.append(f"the program failed: {self._client.text[-1000:]}")
        with Tributary(self._proxy.url) as client, client.spool(self._spool) as spool:
            spool.flush(_RECOVERY_TIMEOUT_S)
        spooled = spool.spooled
        tree.wait_for(lambda: self._counted()[0] >= spooled.recorded, _RECOVERY_TIMEOUT_S)
        counted, total = self._counted()
        return Outcome(spooled, counted, total, self._kills, self._problems)

    def close(self) -> None:
        """Kill everything."""
        self._client.kill()
        self._proxy.close()
        self._up.stop()
        self._kill_members()

    def _kill_client(self) -> str:
        tree.wait_for(lambda: False, self._random.random() / 5)
        self._client.kill()
        self._start_client()
        return "SIGKILL"

    def _break_network(self) -> str:
        kind = self._random.choice(_NETWORK)
        if kind == "cut":
            self._proxy.cut()
            tree.wait_for(lambda: False, self._random.random() * 2)
            self._proxy.heal()
        else:
            self._proxy.inject(kind)
            wait_until(self._proxy.has_injected, f"a request to cut {kind}", _RECOVERY_TIMEOUT_S)
        return kind

    def _kill_server(self) -> str:
        kind = self._random.choice(_SERVER)
        pids = [self._up.pid] if kind == "up" else self._pids(kind)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._random.choice(pids), signal.SIGKILL)
        if kind == "up":
            self._up.end()
            self._problems += tree.left_behind(self._mark, self._data_dir, self._port)
            self._start_server()
        return kind

    def _pids(self, kind: str) -> list[int]:
        def found() -> list[int]:
            lines = tree.members(self._mark, self._data_dir)
            return [
                pid for pid, line in lines.items()
                if kills.kind_of(line, is_child=kills.parent_of(pid) == self._up.pid) == kind
            ]  # fmt: skip

        return wait_until(found, f"a process: {kind}", _RECOVERY_TIMEOUT_S)

    def _start_server(self) -> None:
        self._mark = uuid.uuid4().hex
        self._up = tributary(
            "up", "--port", str(self._port), "--data-dir", str(self._data_dir),
            "--durability", "fsync", "--ingest-workers", "2", "--log-level", "ERROR",
            environ={tree.MARK: self._mark},
        )  # fmt: skip
        self._up.wait_for(tree.READY)

    def _start_client(self) -> None:
        program = [sys.executable, "-m", "faults.spool_client", self._proxy.url, str(self._spool)]
        python_path = os.pathsep.join((str(ROOT / "tests"), str(ROOT)))
        self._client = Process(program, {"PYTHONPATH": python_path}, cwd=ROOT)

    def _wait_for(self, count: int) -> None:
        if not tree.wait_for(lambda: self._counted()[0] >= count, _RECOVERY_TIMEOUT_S):
            raise AssertionError(
                f"no reading arrives after {self._kills}; the program: {self._client.text[-2000:]}"
            )

    def _counted(self) -> tuple[int, float]:
        """Count and sum of what the deployment has counted; 0 while it is away."""
        totals = [self._total(device) for device in DEVICES]
        return sum(t["count"] for t in totals), sum(t["count"] * t["mean"] for t in totals)

    def _total(self, device: str) -> dict[str, Any]:
        with contextlib.suppress(OSError):
            status, body = request(self._url, "GET", f"/api/v1/devices/{device}", None, {})
            if status == 200:
                total: dict[str, Any] = body["metrics"][METRIC]["total"]
                return total
        return {"count": 0, "mean": 0.0}

    def _kill_members(self) -> None:
        for pid in tree.members(self._mark, self._data_dir):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
