"""`tributary mqtt` with mosquitto and Redis: stored, acknowledged, refused, retried."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from paho.mqtt import publish
from paho.mqtt.client import MQTTv5
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from support.folding import aggregate
from support.ledger import stored_metrics
from support.mosquitto import Mosquitto
from support.pipeline import environ, serving
from support.processes import Process, Server, request, stopped
from support.waiting import wait_until

from tributary.operate import bridges
from tributary.settings import Settings
from tributary.store import keys

Run = Callable[..., Process]
_SUBSCRIBED = re.compile("subscribed action=subscribed")
_TASMOTA = {"Time": "2025-07-01T12:00:00", "DS18B20": {"Temperature": 68}, "TempUnit": "F"}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    started = Mosquitto(tmp_path / "broker")
    yield started
    started.kill()


@pytest.fixture
def settings(settings: Settings, broker: Mosquitto) -> Settings:
    changes = {"mqtt_broker": broker.url, "mqtt_topic": "#", "mqtt_client_id": "bridge"}
    return msgspec.structs.replace(settings, **changes)


def send(broker: Mosquitto, *messages: tuple[str, Any], **options: Any) -> None:
    """Publish at QoS 1 and wait until the broker has acknowledged."""
    texts = [(t, p if isinstance(p, str | bytes) else json.dumps(p)) for t, p in messages]
    several = [
        {"topic": topic, "payload": text, "qos": 1, **options.get("each", {})}
        for topic, text in texts
    ]
    publish.multiple(several, port=broker.port, protocol=MQTTv5)


def bridge(run: Run, settings: Settings, fail: str = "") -> Process:
    """Start a bridge, and wait until it is subscribed."""
    process = run("mqtt", environ=environ(settings, fail))
    process.wait_for(_SUBSCRIBED)
    return process


def counts(client: redis.Redis, **wanted: int) -> dict[str, int]:
    """Wait for counts of messages; `refused_x` stands for `refused:x`."""
    named = {name.replace("_", ":", 1): count for name, count in wanted.items()}

    def found() -> dict[str, int] | None:
        held = bridges.messages(client)
        return held if all(held.get(n, 0) >= count for n, count in named.items()) else None

    held = wait_until(found, f"{named} of the counts")
    assert held is not None
    return held


def test_messages_of_every_format_become_readings(
    broker: Mosquitto, settings: Settings, client: redis.Redis, run: Run
):
    process = bridge(run, msgspec.structs.replace(settings, mqtt_timezone="Europe/Berlin"))
    logger = {"messageId": 1, "sessionId": "s", "deviceId": "phone", "payload": []}
    logger["payload"] = [{"name": "gravity", "time": 10**18, "values": {"x": 1}}]
    send(
        broker,
        ("any", {"device": "car-7", "speed": 80}),
        ("car-8/speed", "81"),
        ("kitchen/sensor/temperature/state", "20.5"),
        ("tele/plug/SENSOR", _TASMOTA),
        ("sensor-logger", logger),
        ("zigbee2mqtt/attic", {"humidity": 40}),
        ("owntracks/eve/phone", {"_type": "location", "lat": 1, "lon": 2, "tst": 1764000000}),
        ("tele/plug/LWT", "Online"),
    )
    counts(client, received=8, stored=7, ignored_topic=1)
    assert stored_metrics(client, settings) == {
        "car-7": {"speed": 80},
        "car-8": {"speed": 81},
        "kitchen": {"temperature": 20.5},
        "plug": {"DS18B20.Temperature": pytest.approx(20)},
        "phone": {"gravity.x": 1},
        "attic": {"humidity": 40},
        "eve/phone": {"lat": 1, "lon": 2},
    }
    assert process.stop() == 0


def test_a_message_that_cannot_be_stored_does_not_block_the_others(
    broker: Mosquitto, settings: Settings, client: redis.Redis, run: Run
):
    limited = msgspec.structs.replace(settings, mqtt_in_flight_max=2)
    process = bridge(run, limited)
    bad = [("a/b", "{"), ("a/b", "words"), ("car 7/speed", "1"), ("a/b", b"\xff\xfe")]
    send(broker, *bad * 5, ("car-7/speed", "1"))
    held = counts(client, stored=1, received=21)
    assert held["refused:not_json"] == 5
    assert held["refused:not_a_number"] == 10
    assert held["refused:invalid_device"] == 5
    process.stop()
    assert process.text.count("message refused") == 3, "one line per code and ten seconds"
    assert '"{" ' not in process.text


def test_retained_messages_are_not_counted_again(
    broker: Mosquitto, settings: Settings, client: redis.Redis, run: Run
):
    send(broker, ("car-7/speed", "1"), each={"retain": True})
    for number in range(2):
        changed = msgspec.structs.replace(settings, mqtt_client_id=f"bridge-{number}")
        process = bridge(run, changed)
        send(broker, ("car-8/speed", str(number)), each={"retain": True})
        counts(client, stored=number + 1)
        assert process.stop() == 0
    assert bridges.messages(client)["received"] == 2
    assert "car-7" not in stored_metrics(client, settings)


def test_a_bridge_is_healthy_and_in_the_metrics_while_it_is_connected(
    broker: Mosquitto, settings: Settings, client: redis.Redis, run: Run
):
    variables = environ(settings)
    health = run("health", "mqtt", environ=variables)
    assert health.end() == 1
    assert "bridge bridge is not among the 0 connected ones" in health.text
    process = bridge(run, settings)
    wait_until(lambda: bridges.alive(client), "a heartbeat")
    assert run("health", "mqtt", environ=variables).end() == 0
    send(broker, ("car-7/speed", "1"), ("car-7/speed", "fast"))
    counts(client, stored=1, refused_not_a_number=1)
    url = serving(run("api", "--port", "0", environ=variables))
    text = request(url, "GET", "/metrics", None, {})[1]
    for line in (
        'tributary_mqtt_messages_total{outcome="stored"} 1.0',
        'tributary_mqtt_messages_total{outcome="refused:not_a_number"} 1.0',
        "tributary_mqtt_bridges 1.0",
    ):
        assert line in text
    broker.kill()
    process.wait_for(re.compile("outage began .*broker"))
    broker.start()
    wait_until(lambda: len(_SUBSCRIBED.findall(process.text)) == 2, "another subscription")


def test_messages_wait_at_the_broker_while_no_bridge_runs(
    broker: Mosquitto, settings: Settings, client: redis.Redis, run: Run
):
    assert bridge(run, settings).stop() == 0
    send(broker, *(("car-7/speed", str(n)) for n in range(100)))
    bridge(run, settings)
    assert counts(client, stored=100)["received"] == 100


def test_nothing_is_acknowledged_while_redis_is_away(
    broker: Mosquitto, own_server: Callable[..., Server], settings: Settings, run: Run
):
    server = own_server(appendfsync="always")
    settings = msgspec.structs.replace(
        settings, redis_url=server.url, mqtt_in_flight_max=10, durability="fsync"
    )
    process = bridge(run, settings)
    server.kill()
    send(broker, *(("car-7/speed", str(n)) for n in range(100)))
    process.wait_for(re.compile("outage began .*redis"))
    process.kill()  # with messages in memory
    server.start()
    bridge(run, settings)
    counts(server.client, stored=100)
    assert sorted(stored_metrics(server.client, settings, every=True)["car-7"]["speed"]) == [
        float(n) for n in range(100)
    ]


def test_a_hanging_redis_delays_messages_and_loses_none(
    broker: Mosquitto, own_server: Callable[..., Server], settings: Settings, run: Run
):
    server = own_server()
    settings = msgspec.structs.replace(settings, redis_url=server.url, redis_timeout_ms=300)
    process = bridge(run, settings)
    with stopped(server.process):
        send(broker, *(("car-7/speed", str(n)) for n in range(100)))
        process.wait_for(re.compile("outage began"))
    assert counts(server.client, stored=100)["retried"] > 0
    held = stored_metrics(server.client, settings, every=True)["car-7"]["speed"]
    assert sorted(held) == [float(n) for n in range(100)], "each frame is appended once"


def test_a_message_with_an_id_counts_once(
    broker: Mosquitto, settings: Settings, client: redis.Redis, run: Run, tmp_path: Path
):
    file = tmp_path / "topics.toml"
    file.write_text('[[topic]]\nfilter = "x/+"\nformat = "json"\nid = "n"\n')
    bridge(run, msgspec.structs.replace(settings, mqtt_mapping=str(file)))
    key = Properties(PacketTypes.PUBLISH)
    key.UserProperty = ("Idempotency-Key", "k1")
    body = {"n": 1, "speed": 5}
    send(broker, ("x/car-7", body), ("x/car-7", body), ("x/car-7", {**body, "speed": 6}))
    send(broker, ("car-8/speed", "7"), ("car-8/speed", "7"), each={"properties": key})
    held = counts(client, received=5, stored=2, duplicate=2, refused_key_reused=1)
    assert held["stored"] == 2
    assert stored_metrics(client, settings, every=True) == {
        "x/car-7": {"speed": [5.0]},
        "car-8": {"speed": [7.0]},
    }


@pytest.mark.kills
def test_a_bridge_killed_between_redis_and_the_broker_counts_an_id_once(
    broker: Mosquitto, settings: Settings, client: redis.Redis, run: Run, tmp_path: Path
):
    file = tmp_path / "topics.toml"
    file.write_text('[[topic]]\nfilter = "x/+"\nformat = "json"\nid = "n"\n')
    settings = msgspec.structs.replace(settings, mqtt_mapping=str(file))
    dying = bridge(run, settings, "after_append:1")
    send(broker, *(("x/car-7", {"n": n, "speed": n}) for n in range(50)))
    wait_until(lambda: dying.popen.poll() is not None, "the bridge to die")
    bridge(run, settings)
    wait_until(
        lambda: (
            len(stored_metrics(client, settings, every=True).get("x/car-7", {"speed": []})["speed"])
            >= 50
        ),
        "every message",
    )
    assert counts(client, duplicate=1)
    held = stored_metrics(client, settings, every=True)["x/car-7"]["speed"]
    assert sorted(held) == [float(n) for n in range(50)]


def test_bridges_divide_the_messages_of_a_shared_topic(
    broker: Mosquitto, settings: Settings, client: redis.Redis, run: Run
):
    shared = msgspec.structs.replace(settings, mqtt_share="g", mqtt_topic="+/speed")
    processes = [
        bridge(run, msgspec.structs.replace(shared, mqtt_client_id=f"bridge-{n}")) for n in range(2)
    ]
    wait_until(lambda: len(bridges.alive(client)) == 2, "two bridges")
    send(broker, *((f"car-{n % 5}/speed", str(n)) for n in range(200)))
    assert counts(client, stored=200)["received"] == 200
    assert all(process.stop() == 0 for process in processes)


def test_series_beyond_the_cap_are_refused_and_others_stored(
    broker: Mosquitto, settings: Settings, client: redis.Redis, run: Run
):
    bridge(run, msgspec.structs.replace(settings, series_max=2))
    send(broker, ("car-1/speed", "1"), ("car-2/speed", "1"))
    counts(client, stored=2)
    aggregate(settings, client)
    send(broker, *((f"car-{n}/speed", "1") for n in range(1, 6)))
    assert counts(client, stored=4, refused_too_many_series=3)
    assert not client.exists(keys.TOKEN_USE)
