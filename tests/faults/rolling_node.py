"""One process of a rolling restart."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from support.processes import Process

from tributary.process import probe
from tributary.settings import PREFIX

HOST = "127.0.0.1"
TIMEOUT_S = 90.0
_STARTED = {"aggregator": "aggregator started", "mqtt": "subscribed", "jobs": "jobs started"}


class Node:
    """One process of a role, on a port of its own if it serves HTTP."""

    def __init__(
        self, role: str, redis_url: str, port: int, own: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """`own`: variables of the environment besides the settings that all share."""
        self.role, self.port, self._redis_url, self._own = role, port, redis_url, own
        self.process: Process | None = None

    def start(self, tree: Path, settings: dict[str, str]) -> None:
        """Start the code in a folder."""
        variables = {**settings, "REDIS_URL": self._redis_url}
        if self.port:
            variables["PORT"] = str(self.port)
        # Not the setting that tests add, because an older release does not know it.
        command = [
            "env",
            "-u",
            f"{PREFIX}PUBLIC_HOSTS",
            sys.executable,
            "-m",
            "tributary",
            self.role,
        ]
        environ = {f"{PREFIX}{name}": value for name, value in variables.items()} | {**self._own}
        self.process = Process(command, environ, cwd=tree, is_forked=False)

    def stop(self) -> list[str]:
        """Stop with SIGTERM; what is wrong with the end, if anything."""
        assert self.process is not None
        exit_status = self.process.stop(TIMEOUT_S)
        text = self.process.text
        is_clean = exit_status == 0 and not re.search(r"Traceback|CRITICAL", text)
        return [] if is_clean else [f"{self.role} ended with {exit_status}: {text[-1500:]}"]

    def is_ready(self) -> bool:
        """Whether it serves, or aggregates."""
        assert self.process is not None
        assert self.process.popen.poll() is None, self.process.text
        if self.port:
            return probe.why_not_ready(HOST, self.port, 2) is None
        return _STARTED[self.role] in self.process.text
