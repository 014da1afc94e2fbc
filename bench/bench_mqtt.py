"""The MQTT bridge: messages per second at QoS 1 that wait at mosquitto, with one bridge.

The second figure is what paho can do here: it receives and acknowledges, and stores nothing.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import redis
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bench import launch, machine, redis_server
from tributary.store import keys

_PROGRAM = "mosquitto"
_DEVICES = 100
_SESSION_S = 3600
_IN_FLIGHT = 1_000
_PUBLISHED_MAX = 500  # not acknowledged
_SUBSCRIBED = re.compile("action=subscribed")
_CONFIG = "listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n"
_MAPPING = '[[topic]]\nfilter = "json/+"\nformat = "json"\nid = "id"\n'
_CASES: dict[str, Callable[[int], tuple[str, str]]] = {
    "bare numbers": lambda n: (f"car-{n % _DEVICES}/speed", str(n % 200)),
    "JSON": lambda n: (f"a/car-{n % _DEVICES}", json.dumps({"speed": n % 200, "engine_rpm": n})),
    "JSON with an id": lambda n: (f"json/car-{n % _DEVICES}", json.dumps({"speed": 1, "id": n})),
}


@click.command("mqtt", epilog="Example: scripts/bench mqtt --messages 50000")
@click.option("--messages", default=20_000, show_default=True, help="messages per measurement")
def command(messages: int) -> None:
    """Messages per second from mosquitto to Redis at QoS 1."""
    click.echo(machine.description() + "\n")
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as name:
        folder = Path(name)
        (folder / "topics.toml").write_text(_MAPPING)
        with _broker(folder) as port:
            for case, message in _CASES.items():
                rate = _bridged(folder, port, message, messages)
                click.echo(f"bridge, {case}: {rate:,.0f} messages per second")
            rate = _received(port, _CASES["bare numbers"], messages)
            click.echo(f"paho alone, bare numbers: {rate:,.0f} messages per second")


@contextlib.contextmanager
def _broker(folder: Path) -> Iterator[int]:
    port = launch.free_port()
    config, log = folder / "mosquitto.conf", folder / "mosquitto.log"
    config.write_text(_CONFIG.format(port=port))
    with launch.process([_PROGRAM, "-c", str(config)], log) as process:
        launch.wait_until_ready(lambda: _accepts(port), process, log)
        yield port


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


def _bridged(
    folder: Path, port: int, message: Callable[[int], tuple[str, str]], count: int
) -> float:
    """The rate from the first stored message to the last one, which all wait at the broker."""
    with redis_server.start_embedded() as (url, client):
        environ = {
            "TRIBUTARY_REDIS_URL": url,
            "TRIBUTARY_MQTT_BROKER": f"mqtt://127.0.0.1:{port}",
            "TRIBUTARY_MQTT_TOPIC": "#",
            "TRIBUTARY_MQTT_MAPPING": str(folder / "topics.toml"),
            "TRIBUTARY_MQTT_CLIENT_ID": f"bench-{time.monotonic_ns()}",
            "TRIBUTARY_MQTT_IN_FLIGHT_MAX": str(_IN_FLIGHT),
        }
        bridge, log = [sys.executable, "-m", "tributary", "mqtt"], folder / "bridge.log"
        with launch.process(bridge, log, environ) as process:
            launch.wait_until_ready(lambda: bool(_SUBSCRIBED.search(log.read_text())), process, log)
        _publish(port, message, count)
        with launch.process(bridge, log, environ):
            return _rate(lambda: _stored(client), count)


def _stored(client: redis.Redis) -> int:
    numbers = range(redis_server.partitions(client))
    counts: list[Any] = [client.hget(keys.meta(partition), "accepted") for partition in numbers]
    return sum(int(each or 0) for each in counts)


def _received(port: int, message: Callable[[int], tuple[str, str]], count: int) -> float:
    """The rate of a client that acknowledges at once."""
    received = [0]

    def on_message(client: Client, _data: Any, got: Any) -> None:
        received[0] += 1
        client.ack(got.mid, got.qos)

    name = f"bench-{time.monotonic_ns()}"
    _consumer(port, name, lambda *_: None)
    _publish(port, message, count)
    client = _consumer(port, name, on_message, is_first=False)
    try:
        return _rate(lambda: received[0], count)
    finally:
        client.disconnect()
        client.loop_stop()


def _consumer(
    port: int, name: str, on_message: Callable[..., None], *, is_first: bool = True
) -> Client:
    """A client with a persistent session; the first one subscribes and disconnects."""
    client = Client(
        CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5, manual_ack=True
    )
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = _SESSION_S
    properties.ReceiveMaximum = _IN_FLIGHT
    subscribed = threading.Event()
    client.on_message = on_message

    def on_connect(*_: Any) -> None:
        if is_first:
            client.subscribe("+/speed", 1)

    client.on_connect = on_connect
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", port, clean_start=False, properties=properties)
    client.loop_start()
    if is_first:
        subscribed.wait(10)
        client.disconnect()
        client.loop_stop()
    return client


def _publish(port: int, message: Callable[[int], tuple[str, str]], count: int) -> None:
    """Publish at QoS 1 and wait until the broker has acknowledged everything."""
    free = threading.Semaphore(_PUBLISHED_MAX)
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(_PUBLISHED_MAX)
    client.on_publish = lambda *_: free.release()
    client.connect("127.0.0.1", port)
    client.loop_start()
    for number in range(count):
        free.acquire()
        client.publish(*message(number), qos=1)
    for _ in range(_PUBLISHED_MAX):
        free.acquire()
    client.disconnect()
    client.loop_stop()


def _rate(counted: Callable[[], int], count: int) -> float:
    """Messages per second from the first one that is seen to the last one."""
    deadline_s = time.monotonic() + 600
    while (first := counted()) == 0 and time.monotonic() < deadline_s:
        time.sleep(0.002)
    begin_s = time.monotonic()
    while (last := counted()) < count:
        if time.monotonic() > deadline_s:
            raise SystemExit(f"bench: only {last} of {count} messages arrived")
        time.sleep(0.002)
    return (count - first) / (time.monotonic() - begin_s)
