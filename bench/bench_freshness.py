"""The time from the 200 of a reading until `/collect` shows it, under load.

An open-loop load of single POSTs of a fleet runs beside a probe, which records readings of its own device and
polls `/collect` after each 200.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from urllib.parse import urlsplit

import click
import numpy as np

from bench import launch, machine, openloop
from bench.http_request import Request
from bench.peers.payloads import FLEET, FLEET_DEVICES

_SENDERS = 32
_PROBE = "bench-probe"


@click.command("freshness", epilog="Example: scripts/bench freshness --rate 1000 --seconds 20")
@click.option("--rate", default=1000, show_default=True, help="readings per second of the load")
@click.option("--seconds", default=20.0, show_default=True, help="how long to measure")
def command(rate: int, seconds: float) -> None:
    """Time from 200 to visible in /collect: p50, p90, p99, max."""
    with launch.deployment() as (url, *_):
        delays_ms, load_rate = measure(url, rate, seconds)
    p50, p90, p99, most = np.percentile(delays_ms, [50, 90, 99, 100])
    click.echo(f"machine    {machine.description()}")
    click.echo(f"load       {load_rate:.0f} single-reading POSTs/s completed (target {rate})")
    click.echo(f"freshness  {len(delays_ms)} probes: p50 {p50:.1f} ms, p90 {p90:.1f} ms, "
               f"p99 {p99:.1f} ms, max {most:.1f} ms")  # fmt: skip


def measure(url: str, rate: float, seconds: float) -> tuple[list[float], float]:
    """Delays in ms of the probes beside a fleet with this rate, and the rate that it reached."""
    load = Load(url, rate, seconds)
    load.start()
    delays_ms = _probe(url, seconds)
    load.join()
    return delays_ms, load.rate


class Load(threading.Thread):
    """An open-loop load of single readings of a fleet."""

    def __init__(self, url: str, rate: float, seconds: float) -> None:
        super().__init__(daemon=True)
        self._url, self._target, self._seconds = url, rate, seconds
        self.rate = 0.0

    def run(self) -> None:
        """Send; `rate` is then what was reached."""
        request = Request("POST", "/record", FLEET, numbers=FLEET_DEVICES)
        self.rate = openloop.run(
            self._url, request, rate=self._target, seconds=self._seconds, connections=_SENDERS
        ).rate


def _probe(url: str, seconds: float) -> list[float]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    delays_ms = []
    until_s = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until_s:
        number += 1
        _request(connection, "POST", "/record", json.dumps({"device": _PROBE, "n": number}))
        acknowledged_s = time.perf_counter()
        while True:
            document = json.loads(_request(connection, "GET", f"/collect?device={_PROBE}"))
            if document.get("current_n") == number:
                break
        delays_ms.append((time.perf_counter() - acknowledged_s) * 1000)
        time.sleep(0.01)
    connection.close()
    return delays_ms


def _request(
    connection: http.client.HTTPConnection, method: str, path: str, body: str | bytes | None = None
) -> bytes:
    connection.request(method, path, body)
    response = connection.getresponse()
    text = response.read()
    if response.status not in (http.HTTPStatus.OK, http.HTTPStatus.NOT_FOUND):
        raise SystemExit(f"bench: {method} {path} got {response.status}: {text.decode()}")
    return text
