"""Torque Pro, the Android app for OBD adapters: its upload to a web server.

    GET /record/torque?eml=…&v=9&session=1764084000000&id=3f2c…&time=1764084121000&k5=92.0&kc=2100

`k` and the hexadecimal number of a PID is a measurement, in SI units whatever the app displays.
Before a trip the app describes its sensors (`userUnit5=°C`, `profileName=…`); that is accepted and
stores nothing. The device is `id`, a digest that the app makes of the phone's identifier.
"""

from __future__ import annotations

import re

from ingest.batch import Batch
from ingest.doors import fields, numbers
from ingest.doors.door import Door, Mount, Request
from ingest.limits import Rules
from tributary.http.response import Response

_OK = Response(b"OK!", content_type="text/plain; charset=utf-8")
_PID = re.compile("k([0-9a-f]{1,8})", re.IGNORECASE)
# The others keep the name that the app sends; the catalogue has the unit of the usual ones.
_METRICS = {
    "k5": ("engine_temperature", "degC"),
    "kc": ("engine_rpm", "rpm"),
    "kd": ("speed", "km/h"),
}


class TorqueDoor(Door):
    """A query string with a field per PID."""

    name = "torque"
    mounts = (Mount("/record/torque", ("GET",), fields.LANE_QUERY),)

    def parse(self, request: Request, arrived_ms: int, rules: Rules) -> Batch:
        """Convert an upload to a reading of the car."""
        given = fields.of(request)
        device = fields.device(given, "id")
        pids = {name: pid for name in given if (pid := _PID.fullmatch(name)) is not None}
        if not pids:
            rules.devices.check(device)
            return Batch({}, 0, is_batch=False)
        metrics = fields.Metrics(rules)
        for name, pid in pids.items():
            value = numbers.of(given[name])
            if value is not None:
                key = f"k{int(pid[1], 16):x}"
                metric, unit = _METRICS.get(key, (key, ""))
                metrics.add(name, metric, value, unit)
        time_ms = fields.time_ms(given, "time", arrived_ms, rules)
        return metrics.batch(device, time_ms, request)

    def ok(self, batch: Batch) -> Response:
        """The text that the app looks for."""
        return _OK

    def duplicate(self, body: bytes) -> Response:
        """The same for a retry."""
        return _OK
