"""The cost of listeners of live updates: memory while idle, throughput of events, and `/collect`.

The HTTP worker is measured without listeners, with idle listeners, and while they receive events.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import resource
import statistics
import time
from typing import NamedTuple
from urllib.parse import urlsplit

import click

from bench import launch, machine
from bench.http_request import Request, check

_SAMPLE_S = 4.0
_DEVICES = 20
_RATE_HZ = 10


@click.command("live", epilog="Example: scripts/bench live --listeners 1000 --seconds 10")
@click.option("--listeners", default=1000, show_default=True, help="number of listeners")
@click.option("--seconds", default=10.0, show_default=True, help="how long to count events")
def command(listeners: int, seconds: float) -> None:
    """Memory and throughput with many listeners of live updates."""
    _allow_files(listeners + 200)
    limit = {"TRIBUTARY_LIVE_LISTENERS_MAX": str(listeners + 10)}
    with launch.deployment(environ=limit) as (url, _, pid):
        found = asyncio.run(_measure(url, pid, listeners, seconds))
    click.echo(f"machine    {machine.description()}")
    for line in found:
        click.echo(line)


class _Idle(NamedTuple):
    """The HTTP worker while no readings arrive."""

    resident_kib: float
    cpu_share: float
    collects: float


async def _measure(url: str, pid: int, listeners: int, seconds: float) -> list[str]:
    await asyncio.to_thread(_post, url, 0)
    without = await _idle(url, pid)
    group = _Listeners(url)
    await group.open(listeners)
    idle = await _idle(url, pid)
    received, delays_ms, cpu_share = await group.receive(url, pid, seconds)
    each_kib = (idle.resident_kib - without.resident_kib) / listeners
    p50, p99 = (statistics.quantiles(delays_ms, n=100)[n - 1] for n in (50, 99))
    lines = [
        (
            f"idle       {listeners} listeners: {(idle.resident_kib - without.resident_kib) / 1024:.1f} MiB, "
            f"{each_kib:.1f} KiB each; CPU {without.cpu_share:.1%} before, {idle.cpu_share:.1%} with"
        ),
        (
            f"/collect   {without.collects:.0f}/s before, {idle.collects:.0f}/s with listeners "
            "(one connection)"
        ),
        (
            f"events     {_DEVICES} devices at {_RATE_HZ} Hz, each with "
            f"{listeners // _DEVICES} listeners: {received / seconds:.0f} events/s received, "
            f"CPU {cpu_share:.0%}; reading to listener p50 {p50:.0f} ms, p99 {p99:.0f} ms"
        ),
    ]
    await group.close()
    return lines


async def _idle(url: str, pid: int) -> _Idle:
    collects = await asyncio.to_thread(_collects, url)
    began_s, used_s = time.monotonic(), machine.cpu_s(pid)
    await asyncio.sleep(_SAMPLE_S)
    share = (machine.cpu_s(pid) - used_s) / (time.monotonic() - began_s)
    return _Idle(machine.resident_bytes(pid) / 1024, share, collects)


class _Listeners:
    """Listeners on one event loop."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)
        self._streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._received = 0
        self._delays_ms: list[float] = []

    async def open(self, count: int) -> None:
        """Connect; returns when each has received its first event."""
        for number in range(count):
            reader, writer = await asyncio.open_connection(
                self._address.hostname, self._address.port
            )
            head = f"GET /api/v1/live?device=live-{number % _DEVICES} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            writer.write(head.encode())
            await reader.readuntil(b"data: ")
            await reader.readline()
            self._streams.append((reader, writer))

    async def receive(self, url: str, pid: int, seconds: float) -> tuple[int, list[float], float]:
        """Record readings; returns events received, their delays, and the CPU share of the server."""
        tasks = [asyncio.create_task(self._follow(reader)) for reader, _ in self._streams]
        began_s, used_s = time.monotonic(), machine.cpu_s(pid)
        number = 0
        while (now_s := time.monotonic()) < began_s + seconds:
            number += 1
            await asyncio.to_thread(_post, url, number)
            await asyncio.sleep(max(0.0, now_s + 1 / _RATE_HZ - time.monotonic()))
        share = (machine.cpu_s(pid) - used_s) / (time.monotonic() - began_s)
        received = self._received
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return received, self._delays_ms, share

    async def close(self) -> None:
        """Disconnect all listeners."""
        for _, writer in self._streams:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _follow(self, reader: asyncio.StreamReader) -> None:
        sent = re.compile(rb'"current_sent_ms":([0-9.]+)')
        while line := await reader.readline():
            if match := sent.search(line):
                self._received += 1
                self._delays_ms.append(time.time() * 1000 - float(match[1]))


def _post(url: str, number: int) -> None:
    body = [
        {"device": f"live-{n}", "number": number, "sent_ms": time.time() * 1000}
        for n in range(_DEVICES)
    ]
    check(url, Request("POST", "/record", json.dumps(body).encode()))


def _collects(url: str) -> float:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    count, began_s = 0, time.monotonic()
    while time.monotonic() < began_s + _SAMPLE_S:
        connection.request("GET", "/collect?device=live-0")
        connection.getresponse().read()
        count += 1
    connection.close()
    return count / (time.monotonic() - began_s)


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
