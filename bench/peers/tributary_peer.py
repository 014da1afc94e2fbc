"""Tributary itself, a role at a time: with its lane, and as plain Flask with the same promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from http import HTTPStatus
from pathlib import Path

from bench import prefill, redis_server
from bench.http_request import Request, ask
from bench.peers import payloads
from bench.peers.peer import Peer
from tributary.settings import PREFIX, Settings
from tributary.store import keys

TRIBUTARY = (sys.executable, "-m", "tributary")
ENTRIES_MAX = 10_000_000  # nobody reads while ingest is measured: nothing may be refused for that
_SECRET = re.compile(r"\btrb_[\w-]+")
_SCOPES = {"ingest": "record", "api": "collect"}


class Tributary(Peer):
    """A role in one process on one core, started with the lane if there is one."""

    name = "Tributary"
    promise = "Redis has appended it to its file, flushed every second; validated"
    needs = (redis_server.PROGRAM,)
    lane = True

    def __init__(
        self,
        role: str = "ingest",
        *,
        timed: bool = True,
        is_bounded: bool = False,
        devices: int = 0,
    ) -> None:
        super().__init__()
        self._role = role
        if role == "api":
            self.promise = "current and average as last committed, with their age at this moment"
        self._devices = devices
        self._batch = payloads.Batch(timed=timed)
        self._is_bounded = is_bounded
        self._token = ""

    def start(self, folder: Path) -> None:
        """Start Redis, make a token where there are tokens, start the role."""
        self.with_redis(folder, rewrites=self._is_bounded)
        prefill.fill(self.redis_port, self._devices)
        environ = self._environ()
        self._token = _token(environ, _SCOPES[self._role])
        options = ["--ingest-workers", "1"]
        if not self.lane and has_option(self._role, "--no-lane"):
            options.append("--no-lane")
        self.serve(
            lambda port: [*TRIBUTARY, self._role, "--port", str(port), *options],
            folder, environ=environ,
        )  # fmt: skip

    def request(self, case: str) -> Request | None:
        """A reading, an array, columns; or /collect of a device."""
        if case == "collect":
            return self._signed(Request("GET", f"/collect?device={payloads.DEVICE}", holds=b"92.3"))
        if case == "collect any":
            any_device = Request("GET", "/collect?device=car-", holds=b"current_")
            return self._signed(any_device._replace(numbers=self._devices))
        made = {"single": lambda: payloads.ONE, "array": self._batch.array,
                "columns": self._batch.columns}.get(case)  # fmt: skip
        if made is None:
            return None
        readings = 1 if case == "single" else payloads.READINGS
        return self._signed(
            Request("POST", "/record", made(), holds=b'"success":true', readings=readings)
        )

    def stored(self) -> int | None:
        """The sum of `accepted` over all partitions; nothing is written through the api."""
        if self._role != "ingest":
            return None
        with redis_server.connect(self.redis_port) as client:
            reads = client.pipeline(transaction=False)
            for partition in range(Settings().partitions):
                reads.hget(keys.meta(partition), "accepted")
            return sum(int(accepted or 0) for accepted in reads.execute())

    def notes(self) -> list[str]:
        """Whether the lane and a token were on."""
        has_lane = self.lane and has_option(self._role, "--no-lane")
        return [
            f"{self.name} ({self._role}): {'lane' if has_lane else 'Flask under gthread'}"
            + ("" if has_lane or not self.lane else ", this version has no lane")
            + f"; {self._about_token()}"
        ]

    def _about_token(self) -> str:
        if not self._token:
            return "token off, this version has none"
        asked = self.request("single" if self._role == "ingest" else "collect")
        assert asked is not None
        status, _ = ask(self.url, asked._replace(headers=()))
        demanded = status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
        return f"token on, a request without it was answered {status}" + (
            "" if demanded else ", so it was not demanded"
        )

    def _signed(self, request: Request) -> Request:
        if not self._token:
            return request
        return request._replace(headers=(("Authorization", f"Bearer {self._token}"),))

    def _environ(self) -> dict[str, str]:
        known = Settings.__struct_fields__
        wanted = {"redis_url": f"redis://127.0.0.1:{self.redis_port}/0", "log_level": "WARNING"}
        if not self._is_bounded:
            wanted["stream_max_entries"] = str(ENTRIES_MAX)
        elif "overflow" in known:
            wanted["overflow"] = "trim"
        return {f"{PREFIX}{name.upper()}": value for name, value in wanted.items()}


class PlainFlask(Tributary):
    """The same role, complete over Flask: gunicorn, gthread, pooled connections."""

    name = "Flask + gunicorn"
    lane = False

    def request(self, case: str) -> Request | None:
        """Single readings and /collect; batches are compared with the lane's only."""
        return super().request(case) if case in ("single", "collect") else None


@cache
def has_option(command: str, option: str) -> bool:
    """Whether this version's command knows an option."""
    return option in _help(command)


def _token(environ: dict[str, str], scope: str) -> str:
    if "create" not in _help("token"):
        return ""
    made = subprocess.run(
        [*TRIBUTARY, "token", "create", "--device", "*", "--scope", scope],
        env={**os.environ, **environ}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    secret = _SECRET.search(made.stdout)
    if made.returncode or secret is None:
        raise SystemExit(f"bench: no token was made: {made.stdout}{made.stderr}")
    return secret[0]


@cache
def _help(command: str) -> str:
    asked = subprocess.run(
        [*TRIBUTARY, command, "--help"], capture_output=True, text=True, check=False
    )
    return asked.stdout
