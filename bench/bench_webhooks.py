"""The time from a reading to the webhook of the alert that it causes, under load.

Beside an open-loop load of single POSTs of a fleet, a probe sends readings of one device that are
above and below the limit in turn. Each is a transition; the receiver is a server of this process.
"""

from __future__ import annotations

import base64
import http.client
import http.server
import json
import queue
import tempfile
import threading
import time
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import click
import numpy as np

from bench import launch, machine
from bench.bench_freshness import Load
from bench.peers.payloads import METRIC

_DEVICE = "bench-probe"
_RULES = f"[{METRIC}.alerts.overheating]\nabove = 110\n"
_VALUES = {"firing": 120.0, "ok": 90.0}  # the fleet sends 92.3
_PAUSE_S = 0.05
_TIMEOUT_S = 30.0
_SECRET = "whsec_" + base64.b64encode(bytes(32)).decode()


@click.command("webhooks", epilog="Example: scripts/bench webhooks --rate 1000 --seconds 10")
@click.option("--rate", default=5000, show_default=True, help="readings per second of the load")
@click.option("--seconds", default=60.0, show_default=True, help="how long to measure")
def command(rate: int, seconds: float) -> None:
    """Time from a reading to the webhook of its alert: p50, p90, p99, max."""
    warning = machine.load_warning()
    with tempfile.TemporaryDirectory() as folder, _Receiver() as receiver:
        rules = Path(folder) / "rules.toml"
        rules.write_text(_RULES)
        environ = {
            "TRIBUTARY_METRICS_FILE": str(rules),
            "TRIBUTARY_ALERT_WEBHOOKS": receiver.url,
            "TRIBUTARY_ALERT_WEBHOOK_ALLOW": "127.0.0.1",
            "TRIBUTARY_ALERT_WEBHOOK_SECRET": _SECRET,
        }
        with launch.deployment(environ=environ) as (url, *_):
            _await_sender(url, receiver)
            load = Load(url, rate, seconds)
            load.start()
            delays_ms = _probe(url, receiver, seconds)
            load.join()
    p50, p90, p99, most = np.percentile(delays_ms, [50, 90, 99, 100])
    click.echo(f"machine   {machine.description()}")
    for line in warning:
        click.echo(line)
    click.echo(f"load      {load.rate:.0f} single-reading POSTs/s completed (target {rate})")
    click.echo(f"webhooks  {len(delays_ms)} transitions: p50 {p50:.0f} ms, p90 {p90:.0f} ms, "
               f"p99 {p99:.0f} ms, max {most:.0f} ms")  # fmt: skip


class _Receiver:
    """Responds with 204 to every webhook, and queues its state and the time of its arrival."""

    def __init__(self) -> None:
        self.arrived: queue.Queue[tuple[str, float]] = queue.Queue()
        arrived = self.arrived

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                at_s = time.perf_counter()
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(http.HTTPStatus.NO_CONTENT)
                self.end_headers()
                arrived.put((body["data"]["state"], at_s))

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _await_sender(url: str, receiver: _Receiver) -> None:
    """Cause transitions until one is delivered: those before the start of the sender are not."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT_S)
    until_s = time.monotonic() + _TIMEOUT_S
    while receiver.arrived.empty():
        if time.monotonic() > until_s:
            raise SystemExit(f"bench: no webhook within {_TIMEOUT_S:.0f} s")
        for value in _VALUES.values():
            _record(connection, value)
            time.sleep(1)
    while not receiver.arrived.empty():
        receiver.arrived.get()
        time.sleep(1)
    connection.close()


def _record(connection: http.client.HTTPConnection, value: float) -> None:
    connection.request("POST", "/record", json.dumps({"device": _DEVICE, METRIC: value}))
    response = connection.getresponse()
    text = response.read()
    if response.status != http.HTTPStatus.OK:
        raise SystemExit(f"bench: POST /record got {response.status}: {text.decode()}")


def _probe(url: str, receiver: _Receiver, seconds: float) -> list[float]:
    """Delays in ms, from before the request to the arrival of the webhook; at least two."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT_S)
    delays_ms: list[float] = []
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s or not delays_ms:
        for state, value in _VALUES.items():
            sent_s = time.perf_counter()
            _record(connection, value)
            try:
                found, at_s = receiver.arrived.get(timeout=_TIMEOUT_S)
            except queue.Empty:
                raise SystemExit(f"bench: no webhook within {_TIMEOUT_S:.0f} s") from None
            if found != state:
                raise SystemExit(f"bench: a webhook of state {found}, expected {state}")
            delays_ms.append((at_s - sent_s) * 1000)
            time.sleep(_PAUSE_S)
    connection.close()
    return delays_ms
