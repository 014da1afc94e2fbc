"""`.` and `..` are not device names at any door: clients remove them from paths."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.processes import ROOT
from support.webs import Web


def changed(name: str, *path: str) -> dict[str, Any]:
    """A message of a door whose device, at `path`, is `..`."""
    message = json.loads((ROOT / "tests/data" / name).read_text())
    inner = message
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = ".."
    return dict(message)


CASES: list[tuple[str, str, Any]] = [
    ("POST", "/record", {"device": ".", "speed": 1}),
    ("POST", "/record", {"deviceId": "..", "speed": 1}),
    ("POST", "/record", [{"device": "a", "speed": 1}, {"device": "..", "speed": 1}]),
    ("POST", "/record", {"device": "..", "speed": [1, 2], "recorded_at": [1.7e9, 1.71e9]}),
    ("POST", "/record", b"device=..&speed=1"),
    ("GET", "/record?device=..&speed=1", None),
    ("POST", "/record/telegraf", {"name": "a", "tags": {"host": ".."}, "fields": {"b": 1}, "timestamp": 1}),
    ("POST", "/record/ecowitt", b"PASSKEY=..&tempf=50"),
    ("GET", "/weatherstation/updateweatherstation.php?ID=..&tempf=50", None),
    ("POST", "/record/thingsboard?device=..", {"speed": 1}),
    ("POST", "/record/ttn", changed("ttn_uplink.json", "end_device_ids", "device_id")),
    ("POST", "/record/chirpstack?event=up", changed("chirpstack_up.json", "deviceInfo", "devEui")),
    ("POST", "/record/sensor-community", changed("sensor_community.json", "esp8266id")),
    ("POST", "/update?device=..&field1=1", b""),
    ("GET", "/record/torque?id=..&k5=90&time=1763805600000", None),
    ("GET", "/record/osmand?id=..&lat=1&lon=2", None),
    ("POST", "/sensor_data", changed("sensor_logger.json", "deviceId")),
    ("POST", "/write?db=a", b"engine,device=.. temperature=92"),
    ("POST", "/api/v2/write?bucket=a", b"engine,host=. temperature=92"),
]  # fmt: skip
TYPES = {"/record": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(("method", "path", "body"), CASES, ids=lambda part: str(part)[:40])
def test_every_door_rejects_them(web: Web, method: str, path: str, body: Any):
    is_form = isinstance(body, bytes) and path in TYPES
    reply = web.ask(method, path, body, **({"Content_Type": TYPES[path]} if is_form else {}))
    assert 400 <= reply.status < 500, reply
    assert "other than . and .." in reply.content.decode()
    assert web.get("/collect?device=..").status == 404
    assert b'".."' not in web.get("/api/v1/devices").content
