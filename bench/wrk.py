"""Closed-loop load: wrk keeps a number of connections busy and counts what comes back."""

from __future__ import annotations

import json
import subprocess
from http import HTTPStatus
from pathlib import Path

import msgspec

from bench import machine
from bench.http_request import Request

PROGRAM = "wrk"
_DONE = """
done = function(summary, latency)
  local e = summary.errors
  print(string.format(
    'summary {"requests":%d,"duration_us":%d,"refused":%d,"broken":%d,"p50_us":%d,"p99_us":%d}',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""
_NUMBERED = """
local head, tail
init = function()
  local whole = wrk.format(nil, {path} .. "@")
  local at = whole:find("@", 1, true)
  head, tail = whole:sub(1, at - 1), whole:sub(at + 1)
end
request = function()
  return head .. math.random(0, {numbers} - 1) .. tail
end
"""


class Load(msgspec.Struct, frozen=True):
    """What wrk has seen: `refused` were answered with a status of 400 or above."""

    requests: int
    duration_us: int
    refused: int
    broken: int
    p50_us: int
    p99_us: int

    @property
    def rate(self) -> float:
        """Requests a second that were answered well."""
        return (self.requests - self.refused) / (self.duration_us / 1e6)


def load(url: str, request: Request, folder: Path, *, connections: int, seconds: float) -> Load:
    """Send one request over and over on kept connections, from the core of the load."""
    script = folder / "wrk.lua"
    script.write_text(_script(request))
    whole_s = max(1, round(seconds))
    command = [PROGRAM, "-t1", f"-c{connections}", f"-d{whole_s}s", "--timeout", "30s"]
    ended = subprocess.run(
        machine.pinned(machine.LOAD_CORE, [*command, "-s", str(script), url + request.path]),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    for line in ended.stdout.splitlines():
        if line.startswith("summary "):
            return msgspec.convert(json.loads(line.removeprefix("summary ")), Load)
    raise SystemExit(f"bench: wrk ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")


def _script(request: Request) -> str:
    assert request.status < HTTPStatus.BAD_REQUEST, "wrk counts such answers as refused"
    lines = [f"wrk.method = {_quoted(request.method.encode())}"]
    if request.body:
        lines.append(f"wrk.body = {_quoted(request.body)}")
    for name, value in request.headers:
        lines.append(f"wrk.headers[{_quoted(name.encode())}] = {_quoted(value.encode())}")
    if request.numbers:
        path = _quoted(request.path.encode())
        lines.append(_NUMBERED.format(path=path, numbers=request.numbers))
    return "\n".join(lines) + _DONE


def _quoted(text: bytes) -> str:
    return '"' + "".join(f"\\{byte:03d}" for byte in text) + '"'
