"""Requests to doors that receive fields: valid ones, their mutations, as a form or a query string."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, urlencode

from differential import bodies
from differential.wire import Request

if TYPE_CHECKING:
    from differential.generator import Generator

_ODD = [
    "",
    "-9999",
    "nan",
    "1e999",
    "x",
    "a b",
    "7",
    "-1.5",
    "é",
    "%",
    "&",
    "=",
    "+",
    "\0",
    "x" * 140,
]
STATION = {
    "dateutc": ["now", "2025-11-25 15:22:01", "2025-11-25+15:22:01", "2025-1-5 1:2:3", "today"],
    "tempf": ["68", "-4.5", "-9999"],
    "humidity": ["40"],
    "baromrelin": ["29.9"],
    "windspeedmph": ["4.5"],
    "temp1f": ["50"],
    "unknownf": ["1"],
    "stationtype": ["GW1000"],
}

_TIMES = ["1764084121", "1764084121000", "2025-11-25T15:22:01Z", "2025-11-25T16:22:01+01:00", "x"]
THINGSPEAK = {
    "field1": ["21.5", "x"],
    "field8": ["1"],
    "field9": ["1"],
    "lat": ["51.5"],
    "elevation": ["1e3"],
    "status": ["on"],
    "api_key": ["x"],
    "created_at": [*_TIMES, "2025-11-25 15:22:01 +0100", "2025-11-25 15:22:01 UTC"],
}
TORQUE = {
    "k5": ["92"],
    "kff1006": ["-0.12"],
    "kc": ["2100.5", "-"],
    "K0d": ["72"],
    "time": _TIMES,
    "session": ["1"],
    "userUnit5": ["°C"],
}
OSMAND = {
    "lat": ["51.5"],
    "lon": ["-0.12"],
    "speed": ["10", "nan"],
    "speed_unit": ["m/s", "kmh", "K"],
    "location": ["51.5,-0.12", "51.5,-0.12,3", "1,x"],
    "charge": ["true", "false"],
    "timestamp": _TIMES,
}


def door(
    methods: list[bytes], paths: list[bytes], device: str, fields: dict[str, list[str]]
) -> Callable[[Generator], Request]:
    """A generator of requests.

    Args:
        methods: one of which is chosen.
        paths: one of which is chosen; a query string is appended.
        device: the field of the device.
        fields: others, with valid values.
    """

    def generate(client: Generator) -> Request:
        rng = client.rng
        names = rng.sample([*fields], rng.randrange(len(fields) + 1))
        sent = {device: rng.choice([*bodies.DEVICES, "a-b"])}
        sent |= {name: rng.choice(fields[name]) for name in names}
        if rng.random() < 0.4:
            sent[rng.choice([*fields, device, "other", "a b", "token"])] = rng.choice(_ODD)
        if rng.random() < 0.1:
            del sent[rng.choice([*sent])]
        text = urlencode(sent, quote_via=rng.choice([quote_plus, quote])).encode()
        if rng.random() < 0.1:
            text += rng.choice(
                [b"&", b"&&", b"&a=1&a=2", b"&tempf", b"&x=%ff", b"&x=%zz", b"&tempf=1"]
            )
        method, path = rng.choice(methods), rng.choice(paths)
        if method == b"GET":
            body = b"a=1" if rng.random() < 0.05 else None
            return client.framed(method, path + b"?" + text, [], body)
        if rng.random() < 0.1:
            path += rng.choice([b"?token=x", b"?x=1", b"?", b"?tempf=1"])
        text = bodies.body(rng, 4096, 100) if rng.random() < 0.1 else text
        content_type = (b"Content-Type", b"application/x-www-form-urlencoded")
        return client.framed(method, path, [content_type] if rng.random() < 0.8 else [], text)

    return generate
