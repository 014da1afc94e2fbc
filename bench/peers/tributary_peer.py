"""A role of Tributary, with the lane or as plain Flask with the same guarantees."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from bench import prefill, redis_server
from bench.http_request import Request, send
from bench.peers import payloads
from bench.peers.peer import Peer
from tributary.settings import PREFIX

Program = tuple[str, ...]
TRIBUTARY: Program = (sys.executable, "-m", "tributary")
ENTRIES_MAX = (
    10_000_000  # no aggregator reads while ingest is measured: the backlog must not reject
)
_SECRET = re.compile(r"\btrb_[\w-]+")
_SCOPES = {"ingest": "record", "api": "collect"}


class Tributary(Peer):
    """A role in one process on one core, with the lane."""

    name = "Tributary"
    promise = "in the append-only file of Redis, flushed every second; validated"
    needs = (redis_server.PROGRAM,)
    lane = True
    program: Program = TRIBUTARY

    def __init__(
        self,
        role: str = "ingest",
        *,
        timed: bool = True,
        is_bounded: bool = False,
        rewrites: bool = False,
        devices: int = 0,
    ) -> None:
        super().__init__()
        self._role = role
        if role == "api":
            self.promise = "current value and average as last committed, with their age"
        self._devices = devices
        self._batch = payloads.Batch(timed=timed)
        self._is_bounded = is_bounded
        self._rewrites = rewrites
        self._token = ""

    def start(self, folder: Path) -> None:
        """Start Redis, create a token, start the role."""
        self.with_redis(folder, rewrites=self._rewrites)
        environ = self._environ()
        self._token = create_token(self.program, environ, _SCOPES[self._role])
        options = ["--ingest-workers", "1"]
        if not self.lane:
            options.append("--no-lane")
        self.serve(
            lambda port: [*self.program, self._role, "--port", str(port), *options],
            folder, environ=environ,
        )  # fmt: skip
        with redis_server.connect(self.redis_port) as client:
            prefill.write(client, self._devices)

    def request(self, case: str) -> Request | None:
        """A reading, an array, columns or lines; or /collect of one or of random devices."""
        if case == "collect":
            return self._with_token(
                Request("GET", f"/collect?device={payloads.DEVICE}", expected=b"92.3")
            )
        if case == "collect fleet":
            any_device = Request("GET", "/collect?device=car-", expected=b"current_")
            return self._with_token(any_device._replace(numbers=self._devices))
        if case == "fleet":
            one = Request("POST", "/record", payloads.FLEET, expected=b"true")
            return self._with_token(one._replace(numbers=payloads.FLEET_DEVICES))
        lines = self._batch.of_lines(case)
        if lines is not None:
            return self._with_token(
                Request(
                    "POST",
                    "/write?db=bench",
                    lines,
                    status=HTTPStatus.NO_CONTENT,
                    readings=payloads.READINGS,
                )
            )
        made = {"single": lambda: payloads.ONE, "array": self._batch.array,
                "columns": self._batch.columns}.get(case)  # fmt: skip
        if made is None:
            return None
        readings = 1 if case == "single" else payloads.READINGS
        return self._with_token(
            Request("POST", "/record", made(), expected=b'"success":true', readings=readings)
        )

    def stored(self) -> int | None:
        """Accepted readings by its `status`; None for the api, which does not write."""
        if self._role != "ingest":
            return None
        return int(status(self.program, self._environ())["accepted"])

    def notes(self) -> list[str]:
        """The HTTP server, and the status of a request without the token."""
        request = self.request("fleet" if self._role == "ingest" else "collect fleet")
        assert request is not None
        status, _ = send(self.url, request._replace(headers=()))
        server = "lane" if self.lane else "Flask on gunicorn gthread"
        return [f"{self.name} ({self._role}): {server}; with a token ({status} without)"]

    def _with_token(self, request: Request) -> Request:
        return request._replace(headers=(("Authorization", f"Bearer {self._token}"),))

    def _environ(self) -> dict[str, str]:
        overrides = {"redis_url": f"redis://127.0.0.1:{self.redis_port}/0", "log_level": "WARNING"}
        if self._is_bounded:
            overrides["overflow"] = "trim"
        else:
            overrides["stream_max_entries"] = str(ENTRIES_MAX)
        return {f"{PREFIX}{name.upper()}": value for name, value in overrides.items()}


class PlainFlask(Tributary):
    """The same role entirely on Flask: gunicorn, gthread, pooled connections."""

    name = "Flask + gunicorn"
    lane = False

    def request(self, case: str) -> Request | None:
        """Single readings and /collect of a fleet; batches are compared with the lane only."""
        return super().request(case) if case in ("fleet", "collect fleet") else None


def status(program: Program, environ: Mapping[str, str]) -> dict[str, Any]:
    """The JSON of `tributary status`, whatever the version; unhealthy is not an error."""
    result = subprocess.run(
        [*program, "status", "--json"],
        env={**os.environ, **environ}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if not result.stdout:
        raise SystemExit(f"bench: no status: {result.stderr}")
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def create_token(program: Program, environ: Mapping[str, str], scope: str) -> str:
    """Create a token for every device; returns its secret."""
    result = subprocess.run(
        [*program, "token", "create", "--device", "*", "--scope", scope],
        env={**os.environ, **environ}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    secret = _SECRET.search(result.stdout)
    if result.returncode or secret is None:
        raise SystemExit(f"bench: cannot create a token: {result.stdout}{result.stderr}")
    return secret[0]
