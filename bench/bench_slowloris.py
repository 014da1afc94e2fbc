"""Latency of a normal client beside many clients that send one byte at a time.

The normal client is measured alone first. Then slow connections each send a request byte by byte,
and reconnect when the server disconnects them.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import click
import numpy as np

from bench import launch, machine

_PAUSE_S = 0.002
_HEAD = b"POST /record HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n"
_KINDS = {
    "head": _HEAD + b"X: " + b"a" * 10_000,
    "body": _HEAD + b"\r\n" + b" " * 10_000,
    "chunks": b"POST /record HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"1\r\n \r\n" * 2000,
}
_FIRST_BYTES = {"head": 1, "body": len(_HEAD) + 2, "chunks": 62}


class SlowClients(threading.Thread):
    """Connections that each send one byte per `interval_s`."""

    def __init__(self, url: str, kind: str, count: int, interval_s: float) -> None:
        super().__init__(daemon=True)
        address = urlsplit(url)
        self._at = (address.hostname or "", address.port or 80)
        self._kind = kind
        self._interval_s = interval_s
        self._sent = [0] * count
        self._open: list[socket.socket | None] = [None] * count
        self.is_up = threading.Event()
        self.stopping = threading.Event()
        self.disconnects = 0

    def run(self) -> None:
        """Send until stopped (called by the thread)."""
        for number in range(len(self._open)):
            self._step(number)
        self.is_up.set()
        for number in itertools.cycle(range(len(self._open))):
            if self.stopping.wait(self._interval_s / len(self._open)):
                break
            self._step(number)
        for connection in self._open:
            if connection is not None:
                connection.close()

    def _step(self, number: int) -> None:
        connection = self._open[number]
        with contextlib.suppress(BlockingIOError):
            if connection is not None and self._is_finished(connection):
                self.disconnects += 1
                connection = self._open[number] = None
        if connection is None:
            connection = self._open[number] = socket.create_connection(self._at, 10)
            connection.setblocking(False)
            self._sent[number] = 0
        at = self._sent[number]
        upto = at + 1 if at else _FIRST_BYTES[self._kind]
        with contextlib.suppress(OSError):
            connection.send(_KINDS[self._kind][at:upto])
        self._sent[number] = upto

    @staticmethod
    def _is_finished(connection: socket.socket) -> bool:
        """Whether the server responded or disconnected; raises BlockingIOError if neither."""
        try:
            connection.recv(4096)
        except BlockingIOError:
            raise
        except OSError:
            return True
        return True


@click.command("slowloris", epilog="Example: scripts/bench slowloris --connections 500")
@click.option("--connections", default=500, show_default=True, help="slow connections")
@click.option("--interval", default=10.0, show_default=True, help="seconds between bytes")
@click.option("--seconds", default=30.0, show_default=True, help="length of each measurement")
@click.option(
    "--json", "out", type=click.Path(path_type=Path), help="also write the figures to this file"
)
def command(connections: int, interval: float, seconds: float, out: Path | None) -> None:
    """p50, p99 and maximum latency of a normal client, alone and beside slow connections."""
    rows: dict[str, list[float]] = {}
    with launch.deployment() as (url, *_):
        _measure(url, min(seconds, 2.0))  # warm-up
        rows["alone"] = _summary(_measure(url, seconds), 0)
        for kind in _KINDS:
            slow = SlowClients(url, kind, connections, interval)
            slow.start()
            slow.is_up.wait()
            latencies_ms = _measure(url, seconds)
            slow.stopping.set()
            slow.join()
            rows[f"slow {kind}"] = _summary(latencies_ms, slow.disconnects)
        rows["alone again"] = _summary(_measure(url, seconds), 0)
    click.echo(machine.description())
    click.echo(f"{connections} connections, 1 byte per {interval:g} s; POST /record of 1 reading\n")
    click.echo("| other clients | requests | p50 ms | p99 ms | max ms | rejected | disconnected |")
    click.echo("|---|---|---|---|---|---|---|")
    for name, (count, p50, p99, maximum, rejected, disconnects) in rows.items():
        click.echo(f"| {name} | {count:.0f} | {p50:.2f} | {p99:.2f} | {maximum:.1f} "
                   f"| {rejected:.0f} | {disconnects:.0f} |")  # fmt: skip
    if out is not None:
        out.write_text(json.dumps({"machine": machine.description(), "rows": rows}, indent=1))


def _summary(measured: tuple[list[float], int], disconnects: int) -> list[float]:
    latencies_ms, rejected = measured
    p50, p99, maximum = np.percentile(latencies_ms, [50, 99, 100])
    return [len(latencies_ms), float(p50), float(p99), float(maximum), rejected, disconnects]


def _measure(url: str, seconds: float) -> tuple[list[float], int]:
    """Latencies of the normal client in ms, and the number of rejected requests."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    latencies_ms, rejected = [], 0
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        began_s = time.perf_counter()
        connection.request("POST", "/record", b'{"device":"normal","n":1}')
        response = connection.getresponse()
        response.read()
        latencies_ms.append((time.perf_counter() - began_s) * 1000)
        rejected += response.status != http.HTTPStatus.OK
        time.sleep(_PAUSE_S)
    connection.close()
    return latencies_ms, rejected
