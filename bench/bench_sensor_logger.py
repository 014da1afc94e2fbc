"""The door for Sensor Logger: messages of 100 Hz by 6 sensors, in process and by HTTP."""

from __future__ import annotations

import itertools
import json
import math
import socket
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import click
import msgspec

from bench import launch, machine
from ingest.admission import query_parser
from ingest.doors.sensor_logger import SensorLoggerDoor
from ingest.limits import Rules
from tributary.auth.guard import RequestHeaders
from tributary.model.clock import utc_ms
from tributary.settings import Settings

_SENSORS = ("accelerometer", "gravity", "gyroscope", "magnetometer", "linear", "uncalibrated")
_SAMPLES = 100
_READINGS = _SAMPLES * len(_SENSORS)
_CALLS = 300
_CONNECTIONS = 4


class _Request(msgspec.Struct):
    body: bytes
    query: Any
    head: RequestHeaders


@click.command("sensor-logger", epilog="Example: scripts/bench sensor-logger --seconds 10")
@click.option("--seconds", default=5.0, help="length of the HTTP measurement", show_default=True)
def command(seconds: float) -> None:
    """Readings per second of messages of 600 samples."""
    click.echo(machine.description() + "\n")
    click.echo(f"a message: {_READINGS} readings, {len(_message(0, 0))} bytes")
    click.echo(f"parse and pack, in one process: {_in_process():,.0f} readings per CPU second")
    with launch.deployment() as (url, _, _):
        click.echo(f"POST /sensor_data, {_CONNECTIONS} connections: ", nl=False)
        click.echo(f"{_by_http(url, seconds):,.0f} readings per second")


def _message(phone: int, number: int) -> bytes:
    now_ns = utc_ms() * 1_000_000
    payload = [
        {
            "name": sensor,
            "time": now_ns - (_SAMPLES - sample) * 10_000_000,
            "values": {axis: math.sin(sample / 7 + turn) for turn, axis in enumerate("zyx")},
            "accuracy": 3,
        }
        for sample in range(_SAMPLES)
        for sensor in _SENSORS
    ]
    ids = {"messageId": number, "sessionId": f"s{now_ns}", "deviceId": f"phone-{phone}"}
    return json.dumps({**ids, "payload": payload}).encode()


def _in_process() -> float:
    door, rules = SensorLoggerDoor(), Rules(Settings())
    request = _Request(_message(0, 0), query_parser(b""), RequestHeaders())
    now_ms = utc_ms()
    begin_s = time.process_time()
    for _ in range(_CALLS):
        door.parse(request, now_ms, rules).frames()
    return _CALLS * _READINGS / (time.process_time() - begin_s)


def _by_http(url: str, seconds: float) -> float:
    """Send messages with ids of their own; counts those that got 200."""
    counts = [0] * _CONNECTIONS
    begin_s = time.monotonic()
    threads = [
        threading.Thread(target=_send, args=(url, phone, begin_s + seconds, counts))
        for phone in range(_CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) * _READINGS / (time.monotonic() - begin_s)


def _send(url: str, phone: int, until_s: float, counts: list[int]) -> None:
    address = urlsplit(url)
    prepared = _message(phone, 0)
    with socket.create_connection((address.hostname, address.port), 30) as connection:
        for number in itertools.count():
            if time.monotonic() >= until_s:
                return
            body = prepared.replace(b'"messageId": 0', b'"messageId": %d' % number, 1)
            connection.sendall(
                b"POST /sensor_data HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            if not connection.recv(4096).startswith(b"HTTP/1.1 200"):
                raise SystemExit("bench: a message was rejected")
            counts[phone] += 1
