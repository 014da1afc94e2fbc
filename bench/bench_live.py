"""What listeners of live updates cost: memory while idle, events while not, `/collect` beside.

The HTTP process is the one under test; it is measured before and while idle listeners are
connected, and then while readings arrive that they hear of.
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

_ASKED_S = 4.0
_DEVICES = 20
_RATE_HZ = 10


@click.command("live", epilog="Example: scripts/bench live --listeners 1000 --seconds 10")
@click.option("--listeners", default=1000, show_default=True, help="connections that listen")
@click.option("--seconds", default=10.0, show_default=True, help="how long events are counted")
def command(listeners: int, seconds: float) -> None:
    """Memory and throughput with many listeners of live updates."""
    _allow_files(listeners + 200)
    with launch.site(listeners + 10) as (url, pid):
        found = asyncio.run(_measure(url, pid, listeners, seconds))
    click.echo(f"machine    {machine.described()}")
    for line in found:
        click.echo(line)


class _Idle(NamedTuple):
    """The process while nothing happens."""

    rss_kib: int
    cpu_share: float
    collects: float


async def _measure(url: str, pid: int, listeners: int, seconds: float) -> list[str]:
    await asyncio.to_thread(_post, url, 0)
    without = await _idle(url, pid)
    ears = _Ears(url)
    await ears.open(listeners)
    beside = await _idle(url, pid)
    heard, delays_ms, cpu_share = await ears.hear(url, pid, seconds)
    each_kib = (beside.rss_kib - without.rss_kib) / listeners
    p50, p99 = (statistics.quantiles(delays_ms, n=100)[n - 1] for n in (50, 99))
    lines = [
        (
            f"idle       {listeners} listeners: {(beside.rss_kib - without.rss_kib) / 1024:.1f} MiB, "
            f"{each_kib:.1f} KiB each; CPU {without.cpu_share:.1%} before, {beside.cpu_share:.1%} with"
        ),
        (
            f"/collect   {without.collects:.0f}/s before, {beside.collects:.0f}/s beside them "
            "(one connection)"
        ),
        (
            f"events     {_DEVICES} devices at {_RATE_HZ} Hz, each heard by "
            f"{listeners // _DEVICES} listeners: {heard / seconds:.0f} events/s sent, "
            f"CPU {cpu_share:.0%}; reading to listener p50 {p50:.0f} ms, p99 {p99:.0f} ms"
        ),
    ]
    await ears.close()
    return lines


async def _idle(url: str, pid: int) -> _Idle:
    collects = await asyncio.to_thread(_collects, url)
    began_s, used_s = time.monotonic(), machine.cpu_s(pid)
    await asyncio.sleep(_ASKED_S)
    share = (machine.cpu_s(pid) - used_s) / (time.monotonic() - began_s)
    return _Idle(machine.rss_kib(pid), share, collects)


class _Ears:
    """Connections that listen, all in one process on one event loop."""

    def __init__(self, url: str) -> None:
        self._place = urlsplit(url)
        self._streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._heard = 0
        self._delays_ms: list[float] = []

    async def open(self, count: int) -> None:
        """Connect; returns when each has heard what its device reads."""
        for number in range(count):
            reader, writer = await asyncio.open_connection(self._place.hostname, self._place.port)
            head = f"GET /api/v1/live?device=live-{number % _DEVICES} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            writer.write(head.encode())
            await reader.readuntil(b"data: ")
            await reader.readline()
            self._streams.append((reader, writer))

    async def hear(self, url: str, pid: int, seconds: float) -> tuple[int, list[float], float]:
        """Events heard, how old each was, and the share of a core the server took."""
        tasks = [asyncio.create_task(self._follow(reader)) for reader, _ in self._streams]
        began_s, used_s = time.monotonic(), machine.cpu_s(pid)
        turn = 0
        while (now_s := time.monotonic()) < began_s + seconds:
            turn += 1
            await asyncio.to_thread(_post, url, turn)
            await asyncio.sleep(max(0.0, now_s + 1 / _RATE_HZ - time.monotonic()))
        share = (machine.cpu_s(pid) - used_s) / (time.monotonic() - began_s)
        heard = self._heard
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return heard, self._delays_ms, share

    async def close(self) -> None:
        """Hang up."""
        for _, writer in self._streams:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _follow(self, reader: asyncio.StreamReader) -> None:
        sent = re.compile(rb'"current_sent_ms":([0-9.]+)')
        while line := await reader.readline():
            if match := sent.search(line):
                self._heard += 1
                self._delays_ms.append(time.time() * 1000 - float(match[1]))


def _post(url: str, turn: int) -> None:
    body = [
        {"device": f"live-{n}", "turn": turn, "sent_ms": time.time() * 1000}
        for n in range(_DEVICES)
    ]
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.request("POST", "/record", json.dumps(body))
    if (status := connection.getresponse().status) != http.HTTPStatus.OK:
        raise SystemExit(f"bench: /record was answered {status}")
    connection.close()


def _collects(url: str) -> float:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    count, began_s = 0, time.monotonic()
    while time.monotonic() < began_s + _ASKED_S:
        connection.request("GET", "/collect?device=live-0")
        connection.getresponse().read()
        count += 1
    connection.close()
    return count / (time.monotonic() - began_s)


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
