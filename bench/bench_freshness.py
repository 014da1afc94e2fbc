"""The time from the 200 of a reading until `/collect` shows it, under load.

An open-loop load of single POSTs of a fleet runs beside a probe, which records readings of its own device and
polls `/collect` after each 200.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from typing import NamedTuple
from urllib.parse import urlsplit

import click
import numpy as np

from bench import fleet, launch, machine, openloop
from bench.http_request import Request
from bench.peers.payloads import FLEET, FLEET_DEVICES

_SENDERS = 32
_PROBE = "bench-probe"
_EVERY = 50  # devices of the fleet, one of which is awaited


class Delays(NamedTuple):
    """In ms, of the probes beside a fleet."""

    joining: list[float]  # most of its devices have never recorded before
    known: list[float]  # all have


@click.command("freshness", epilog="Example: scripts/bench freshness --rate 1000 --seconds 20")
@click.option("--rate", default=1000, show_default=True, help="readings per second of the load")
@click.option("--seconds", default=20.0, show_default=True, help="how long to measure each")
@click.option("--devices", default=FLEET_DEVICES, show_default=True, help="size of the fleet")
def command(rate: int, seconds: float, devices: int) -> None:
    """Time from 200 to visible in /collect: p50, p90, p99, max.

    The devices of a fleet are recorded once before it is measured, at the rate at which devices
    may join; before that, the fleet is measured while it joins.
    """
    with launch.deployment() as (url, *_):
        found = measure(url, rate, seconds, devices)
    click.echo(f"machine    {machine.description()}")
    click.echo(f"load       {rate} single-reading POSTs/s of {devices} devices")
    for name, delays_ms in found._asdict().items():
        p50, p90, p99, most = np.percentile(delays_ms, [50, 90, 99, 100])
        click.echo(f"freshness  fleet {name}, {len(delays_ms)} probes: p50 {p50:.1f} ms, "
                   f"p90 {p90:.1f} ms, p99 {p99:.1f} ms, max {most:.1f} ms")  # fmt: skip


def measure(url: str, rate: float, seconds: float, devices: int = FLEET_DEVICES) -> Delays:
    """Delays of the probes beside a fleet with this rate, while it joins and after that."""
    joining = _measure(url, rate, seconds, devices)
    fleet.join(url, devices)
    _await_applied(url, devices)
    return Delays(joining, _measure(url, rate, seconds, devices))


def _measure(url: str, rate: float, seconds: float, devices: int) -> list[float]:
    load = Load(url, rate, seconds, devices)
    load.start()
    delays_ms = _probe(url, seconds)
    load.join()
    return delays_ms


def _await_applied(url: str, devices: int) -> None:
    """Wait until `/collect` has devices of every part of the fleet."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    for number in range(0, devices, _EVERY):
        fleet.repeated(connection, "GET", f"/collect?device=car-{number:05d}")
    connection.close()


class Load(threading.Thread):
    """An open-loop load of single readings of a fleet."""

    def __init__(self, url: str, rate: float, seconds: float, devices: int = FLEET_DEVICES) -> None:
        super().__init__(daemon=True)
        self._url, self._target, self._seconds, self._devices = url, rate, seconds, devices
        self.rate = 0.0

    def run(self) -> None:
        """Send; `rate` is then what was reached."""
        request = Request("POST", "/record", FLEET, numbers=self._devices)
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
