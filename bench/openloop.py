"""Open-loop load: requests are sent at a fixed rate, independent of the responses.

The latency of a request counts from the time it was due, not from when it was sent: if the server
stalls, all requests due meanwhile are late. A closed loop would send one, wait, and report a single
slow response (coordinated omission).

Requests are due in one burst per millisecond, the resolution of the event loop's timer.
Run as `python -m bench.openloop` with a `Task` as JSON on standard input; prints a `Result`.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import deque
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec
import numpy as np
import uvloop

from bench import machine
from bench.http_request import NUMBER, Request

TICK_S = 0.001
_TIMEOUT_S = 30.0
_STRIDE = 7_919  # prime, so that every number occurs
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
EDGES_MS = np.geomspace(0.05, 10_000, 64)
PERCENTILES = (50.0, 90.0, 99.0, 99.9, 100.0)


class Task(msgspec.Struct, frozen=True):
    """What to send, at which rate, how long, and on how many connections.

    `pieces` are the bytes of the request between which is a number below `numbers`, in `form`.
    """

    url: str
    pieces: list[bytes]
    form: str
    numbers: int
    status: int
    rate: float
    seconds: float
    connections: int


class Result(msgspec.Struct, frozen=True):
    """Latencies in milliseconds from the time each request was due.

    `rate` is that of the responses until the last one. `sent_late_p99_ms` is the delay of this
    generator itself when a connection was idle.
    """

    rate: float
    sent: int
    succeeded: int
    rejected: int
    errors: int
    percentiles_ms: dict[str, float]
    sent_late_p99_ms: float
    counts: list[int]


def run(url: str, request: Request, *, rate: float, seconds: float, connections: int) -> Result:
    """Run the load in a process on the load core."""
    target = urlsplit(url)
    headers = [("Host", target.netloc), *request.headers, ("Content-Length", len(request.body))]
    is_numbered_path = request.numbers and not request.body
    path = request.path + (NUMBER.decode() if is_numbered_path else "")
    lines = [f"{request.method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in headers)]
    pieces = ("\r\n".join([*lines, "", ""]).encode() + request.body).split(NUMBER)
    form = "%d" if is_numbered_path else f"%0{len(NUMBER)}d"
    task = Task(url, pieces, form, request.numbers, request.status, rate, seconds, connections)
    command = machine.pin(machine.LOAD_CORE, [sys.executable, "-m", "bench.openloop"])
    result = subprocess.run(
        command, input=msgspec.json.encode(task), capture_output=True, check=False
    )
    if result.returncode:
        raise SystemExit(f"bench: the open-loop load failed:\n{result.stderr.decode()}")
    return msgspec.json.decode(result.stdout, type=Result)


class _Connection(asyncio.Protocol):
    """A connection with at most one request in flight."""

    def __init__(self, generator: _Generator) -> None:
        self._generator = generator
        self._received = b""
        self._due_s = 0.0
        self._is_waiting = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # that of uvloop is not a subclass
        self._generator.idle.append(self)

    def send(self, due_s: float) -> None:
        """Send the request that was due at this time."""
        assert self.transport is not None
        self._due_s = due_s
        self._is_waiting = True
        self.transport.write(self._generator.next_request())

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        length = length_of(received)
        if length is None or len(received) < length:
            self._received = received
            return
        self._received = b""
        self._is_waiting = False
        self._generator.on_response(self, self._due_s, int(received[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._generator.on_disconnect(self, was_waiting=self._is_waiting)


class _Generator:
    """Queues due requests and sends them on idle connections."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._number = 0
        self.idle: deque[_Connection] = deque()
        self._due: deque[float] = deque()
        self._latencies_s: list[float] = []
        self._late_s: list[float] = []
        self._sent = self._rejected = self._errors = 0
        self._error: BaseException | None = None

    async def run(self) -> Result:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._fail)
        address = urlsplit(self._task.url)
        for _ in range(self._task.connections):
            await loop.create_connection(
                lambda: _Connection(self), str(address.hostname), int(address.port or 0)
            )
        total = round(self._task.rate * self._task.seconds)
        began_s = time.perf_counter()
        scheduled = done_ticks = 0
        while scheduled < total:
            ticks = int((time.perf_counter() - began_s) / TICK_S)
            for tick in range(done_ticks, ticks):
                wanted = min(total, int((tick + 1) * TICK_S * self._task.rate))
                due_s = began_s + (tick + 1) * TICK_S  # when an exact timer would have fired
                self._due.extend([due_s] * (wanted - scheduled))
                scheduled = wanted
            done_ticks = ticks
            self._send()
            await asyncio.sleep(TICK_S - (time.perf_counter() - began_s) % TICK_S)
        await self._drain(total)
        took_s = time.perf_counter() - began_s
        if self._error is not None:
            raise self._error
        if not self._latencies_s:
            raise SystemExit(f"bench: no response from {self._task.url} to {total} requests")
        return self._result(took_s)

    def next_request(self) -> bytes:
        """The request with the next number: each in turn, in an order that is not theirs."""
        if not self._task.numbers:
            return self._task.pieces[0]
        self._number = (self._number + _STRIDE) % self._task.numbers
        return (self._task.form % self._number).encode().join(self._task.pieces)

    def on_response(self, connection: _Connection, due_s: float, status: int) -> None:
        self._latencies_s.append(time.perf_counter() - due_s)
        self._rejected += status != self._task.status
        if self._due:
            self._sent += 1
            connection.send(self._due.popleft())
        else:
            self.idle.append(connection)

    def on_disconnect(self, connection: _Connection, *, was_waiting: bool) -> None:
        """A lost connection is not replaced; a request in flight counts as an error."""
        self._errors += was_waiting
        if not was_waiting and connection in self.idle:
            self.idle.remove(connection)

    def _send(self) -> None:
        now_s = time.perf_counter()
        while self._due and self.idle:
            due_s = self._due.popleft()
            self._late_s.append(now_s - due_s)
            self._sent += 1
            self.idle.popleft().send(due_s)

    async def _drain(self, total: int) -> None:
        deadline_s = time.perf_counter() + _TIMEOUT_S
        while len(self._latencies_s) + self._errors < total and self._error is None:
            if time.perf_counter() > deadline_s:
                return
            self._send()
            await asyncio.sleep(TICK_S)

    def _fail(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._error = context.get("exception") or RuntimeError(context["message"])

    def _result(self, took_s: float) -> Result:
        latencies_ms = np.array(self._latencies_s) * 1000
        counts, _ = np.histogram(latencies_ms, bins=EDGES_MS)
        values = np.percentile(latencies_ms, PERCENTILES)
        return Result(
            rate=len(self._latencies_s) / took_s,
            sent=self._sent,
            succeeded=len(self._latencies_s) - self._rejected,
            rejected=self._rejected,
            errors=self._errors,
            percentiles_ms={f"{p:g}": float(v) for p, v in zip(PERCENTILES, values, strict=True)},
            sent_late_p99_ms=float(np.percentile(np.array(self._late_s or [0.0]) * 1000, 99)),
            counts=counts.tolist(),
        )


def length_of(received: bytes) -> int | None:
    """Bytes of the response, headers and body; None while the headers are incomplete."""
    end = received.find(_HEAD_END)
    if end < 0:
        return None
    head = received[:end].lower()
    at = head.find(_LENGTH)
    if at < 0:
        if int(received[9:12]) == HTTPStatus.NO_CONTENT:
            return end + len(_HEAD_END)
        raise SystemExit(f"bench: response without Content-Length: {received[:300]!r}")
    line_end = head.find(b"\r\n", at)
    return end + len(_HEAD_END) + int(head[at + len(_LENGTH) : line_end if line_end > 0 else end])


if __name__ == "__main__":
    task_ = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(_Generator(task_).run())))
