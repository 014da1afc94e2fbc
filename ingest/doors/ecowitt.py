"""Weather stations of Ecowitt and Ambient, with their `Customized` upload.

    POST /data/report/    PASSKEY=…&stationtype=GW2000A_V3.1.3&dateutc=2025-11-25+15:22:01&tempf=68.0
    GET  /data/report/?PASSKEY=…&stationtype=AMBWeatherV4.2.9&dateutc=now&tempf=68.0

The device is `PASSKEY`, or `MAC` of older Ambient consoles. `weather` has the fields.
"""

from __future__ import annotations

from ingest.batch import Batch
from ingest.doors import fields, weather
from ingest.doors.door import Door, Mount, Request
from ingest.doors.record import responses
from ingest.limits import Rules

_METHODS = ("GET", "POST")


class EcowittDoor(Door):
    """A form, or a query string, in US units."""

    name = "ecowitt"
    mounts = (
        Mount("/record/ecowitt", _METHODS, fields.LANE_QUERY),
        Mount("/data/report/", _METHODS, fields.LANE_QUERY),
    )
    ok = staticmethod(responses.ok)
    duplicate = staticmethod(responses.duplicate)

    def parse(self, request: Request, arrived_ms: int, rules: Rules) -> Batch:
        """Convert an upload to a reading of the station."""
        given = fields.of(request)
        device = fields.device(given, "PASSKEY", "MAC")
        metrics = fields.Metrics(rules)
        weather.add(given, metrics)
        time_ms = fields.time_ms(given, "dateutc", arrived_ms, rules, naive_is_utc=True)
        return metrics.batch(device, time_ms, request)
