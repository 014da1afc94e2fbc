"""Requests to doors that receive JSON: valid bodies, their mutations, and bodies of `/record`."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from differential import bodies
from differential.wire import Request

if TYPE_CHECKING:
    from differential.generator import Generator

_T_MS = bodies.T_MS
_ODD: list[Any] = [
    None,
    True,
    7,
    -1.5,
    "",
    "7",
    "a b",
    "x" * 130,
    [],
    {},
    [1],
    {"a": {"b": 1}},
    10**30,
]
_BODY_MAX_BYTES, _BATCH_MAX_READINGS = 4_096, 100


def door(
    targets: list[bytes], make: Callable[[random.Random], Any]
) -> Callable[[Generator], Request]:
    """A generator of requests.

    Args:
        targets: paths with their query strings, one of which is chosen.
        make: a valid body; its strings may contain `@`, a name of the client.
    """

    def generate(client: Generator) -> Request:
        rng = client.rng
        kind = rng.random()
        if kind < 0.15:
            content = bodies.body(rng, _BODY_MAX_BYTES, _BATCH_MAX_READINGS)
        else:
            made = make(rng)
            if kind > 0.6:
                made = _mutated(rng, made)
            content = json.dumps(made).replace("@", client.name).encode()
            if kind > 0.97:
                at = rng.randrange(len(content))
                content = content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
        fields = [(b"Content-Type", b"application/json")] if rng.random() < 0.7 else []
        return client.framed(b"POST", rng.choice(targets), fields, content)

    return generate


def _mutated(rng: random.Random, body: Any) -> Any:
    """A body with one of its values replaced, removed or repeated."""
    made = copy.deepcopy(body)
    node = made
    while True:
        places = [*node] if isinstance(node, dict) else [*range(len(node))]
        if not places:
            return made
        place = rng.choice(places)
        inner = node[place]
        if isinstance(inner, dict | list) and rng.random() < 0.7:
            node = inner
            continue
        if rng.random() < 0.3:
            del node[place]
        elif rng.random() < 0.2 and isinstance(node, list):
            node.append(inner)
        else:
            node[place] = rng.choice(_ODD)
        return made


def sensor_logger(rng: random.Random) -> Any:
    """A message of Sensor Logger, or several."""
    messages = [
        {
            "messageId": rng.choice([rng.randrange(40), str(rng.randrange(40))]),
            "sessionId": "@",
            "deviceId": rng.choice([*bodies.DEVICES, "phone"]),
            rng.choice(["payload", "payload", "sensors"]): [
                {
                    "name": rng.choice(["gravity", "wrist motion", "battery", "test"]),
                    "time": _T_MS * 1_000_000 + rng.randrange(10**9),
                    "values": {
                        "x": rng.randrange(9),
                        **rng.choice([{}, {"y": 0.1}, {"state": "full"}, {"on": True}]),
                    },
                    "accuracy": 3,
                }
                for _ in range(rng.choice([0, 1, 2, 5, 20]))
            ],
        }
        for _ in range(rng.choice([1, 1, 2]))
    ]
    return messages if len(messages) > 1 or rng.random() < 0.1 else messages[0]


def room(rng: random.Random) -> Any:
    """A temperature of a room."""
    times = [
        "2026-01-01T00:00:00",
        "2026-01-01 00:00:00.25",
        "2026-01-01T00:00:00Z",
        "today",
        _T_MS,
    ]
    recorded = rng.choice([{}, {"recorded_at": rng.choice(times)}])
    return {"temperature": rng.choice([21.5, "21.5", True, None, "x"]), **recorded}


def telegraf(rng: random.Random) -> Any:
    """A batch of Telegraf, or one metric."""
    metrics = [
        {
            "name": rng.choice(["cpu", "disk usage", "°C"]),
            "tags": rng.choice(
                [{"host": "pi-1"}, {"device": "car-1", "host": "x"}, {"b": "1", "a": "2"}, {}]
            ),
            "fields": rng.choice(
                [{"idle": 97.5}, {"idle": 1, "on": True}, {"text": "x"}, {"a b": 1, "s": "2"}]
            ),
            **rng.choice([{}, {"timestamp": _T_MS // 1000}, {"timestamp": _T_MS * 1_000_000}]),
        }
        for _ in range(rng.choice([1, 1, 2, 5]))
    ]
    return metrics[0] if rng.random() < 0.3 else {"metrics": metrics}


def thingsboard(rng: random.Random) -> Any:
    """Telemetry with and without a time, alone or in an array."""
    values = {"temperature": rng.choice([21.5, "21.5", "x"]), "Luft (°C)": 20, "on": True}
    items = [
        rng.choice([values, {"ts": _T_MS + rng.randrange(9_999), "values": values}])
        for _ in range(rng.choice([1, 1, 2, 20]))
    ]
    return items if len(items) > 1 or rng.random() < 0.2 else items[0]


def _gateways(rng: random.Random) -> list[Any]:
    return [
        {"rssi": rng.randrange(-120, 0), "snr": rng.choice([5, -7.5])}
        for _ in range(rng.randrange(3))
    ]


def ttn(rng: random.Random) -> Any:
    """A message of The Things Network."""
    uplink = {
        "session_key_id": "@",
        "f_cnt": rng.randrange(40),
        "received_at": "2026-01-01T00:00:00.123456789Z",
        "decoded_payload": {"temperature": 21.5, "gps": {"lat": 1}, "time": 7, "s": "x"},
        "rx_metadata": _gateways(rng),
    }
    ids = {"device_id": rng.choice(bodies.DEVICES)}
    kind = rng.choice(["uplink_message", "uplink_message", "join_accept"])
    return {"end_device_ids": ids, "received_at": "2026-01-01T00:00:00.2Z", kind: uplink}


def chirpstack(rng: random.Random) -> Any:
    """An event of ChirpStack."""
    return {
        "deduplicationId": f"@-{rng.randrange(40)}",
        "time": "2026-01-01T00:00:00.123456789+00:00",
        "deviceInfo": {"devEui": rng.choice(bodies.DEVICES), "deviceName": "my sensor"},
        "object": {"temperature": 21.5, "state": "ok", "gps": {"lat": 1}},
        "rxInfo": _gateways(rng),
    }


def sensor_community(rng: random.Random) -> Any:
    """A message of a station."""
    types = ["SDS_P1", "SDS_P2", "BME280_pressure", "BME280_temperature", "temperature", "signal"]
    values = [
        {"value_type": name, "value": rng.choice(["1.5", "nan", 7])}
        for name in rng.sample(types, rng.randrange(1, 5))
    ]
    return {"esp8266id": rng.choice(["1234567", 1234567]), "sensordatavalues": values}


def owntracks(rng: random.Random) -> Any:
    """A message of OwnTracks."""
    return {
        "_type": rng.choice(["location"] * 4 + ["waypoint", 7]),
        "topic": rng.choice(["owntracks/@/phone", "owntracks/a/b", "owntracks/a/b/event", "x/a/b"]),
        "tst": rng.choice([_T_MS // 1000, _T_MS, "x"]),
        "lat": 51.5,
        "lon": rng.choice([-0.12, "-0.12", None]),
        "vel": rng.choice([40, -1]),
        "p": 101.3,
        "conn": "w",
    }


def senml(rng: random.Random) -> Any:
    """A pack of SenML."""
    base = {
        "bn": rng.choice(["urn:dev:@:", "a/b/", "a", "a:1", ""]),
        "bt": rng.choice([_T_MS / 1000, 0, -5]),
        "bu": rng.choice(["Cel", "K", "lat", "m"]),
    }
    records = [
        {
            "n": rng.choice(["temperature", "humidity", "x-1", "1", "a:b"]),
            "t": rng.choice([0, 1, -1.5, 0.0001]),
            **rng.choice([{"v": 1}, {"v": 2.5}, {"vb": True}, {"vs": "x"}, {"s": 1}, {}]),
            **rng.choice([{}, {}, {"u": "%RH"}, {"bver": 5}, {"x_": 1}]),
        }
        for _ in range(rng.choice([1, 2, 5]))
    ]
    return [{**base, **records[0]}, *records[1:]]
