"""Closed-loop load with wrk: every connection always has one request in flight."""

from __future__ import annotations

import json
import subprocess
from http import HTTPStatus
from pathlib import Path

import msgspec

from bench import machine
from bench.http_request import NUMBER, Request

PROGRAM = "wrk"
_DONE = """
done = function(summary, latency)
  local e = summary.errors
  print(string.format(
    'summary {"requests":%d,"duration_us":%d,"rejected":%d,"errors":%d,"p50_us":%d,"p99_us":%d}',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""
_NUMBERED = """
local head, tail
init = function()
  local whole = wrk.format(nil, {path})
  local at = whole:find("@", 1, true)
  head, tail = whole:sub(1, at - 1), whole:gsub("^.-@+", "")
end
request = function()
  return head .. string.format("{form}", math.random(0, {numbers} - 1)) .. tail
end
"""


class Load(msgspec.Struct, frozen=True):
    """The result of wrk; `rejected` counts responses with a status of 400 or above."""

    requests: int
    duration_us: int
    rejected: int
    errors: int
    p50_us: int
    p99_us: int

    @property
    def rate(self) -> float:
        """Successful requests per second."""
        return (self.requests - self.rejected) / (self.duration_us / 1e6)


def load(url: str, request: Request, folder: Path, *, connections: int, seconds: float) -> Load:
    """Send one request repeatedly on keep-alive connections, from the load core."""
    script = folder / "wrk.lua"
    script.write_text(_script(request))
    whole_s = max(1, round(seconds))
    command = [PROGRAM, "-t1", f"-c{connections}", f"-d{whole_s}s", "--timeout", "30s"]
    result = subprocess.run(
        machine.pin(machine.LOAD_CORE, [*command, "-s", str(script), url + request.path]),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    for line in result.stdout.splitlines():
        if line.startswith("summary "):
            return msgspec.convert(json.loads(line.removeprefix("summary ")), Load)
    raise SystemExit(f"bench: wrk exited with {result.returncode}:\n{result.stdout}{result.stderr}")


def _script(request: Request) -> str:
    assert request.status < HTTPStatus.BAD_REQUEST, "wrk would count these responses as rejected"
    lines = [f"wrk.method = {_quoted(request.method.encode())}"]
    if request.body:
        lines.append(f"wrk.body = {_quoted(request.body)}")
    for name, value in request.headers:
        lines.append(f"wrk.headers[{_quoted(name.encode())}] = {_quoted(value.encode())}")
    if request.numbers:
        path = _quoted(request.path.encode() + (b"" if request.body else NUMBER))
        form = f"%0{len(NUMBER)}d" if request.body else "%d"
        lines.append(_NUMBERED.format(path=path, form=form, numbers=request.numbers))
    return "\n".join(lines) + _DONE


def _quoted(text: bytes) -> str:
    return '"' + "".join(f"\\{byte:03d}" for byte in text) + '"'
