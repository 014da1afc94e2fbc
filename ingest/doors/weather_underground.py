"""Weather stations with the upload protocol of Weather Underground.

    GET /weatherstation/updateweatherstation.php?ID=KCASANFR5&PASSWORD=…&dateutc=now&tempf=68.0

The device is `ID`, and `PASSWORD` is the token. `weather` has the fields.
"""

from __future__ import annotations

from ingest.batch import Batch
from ingest.doors import fields, weather
from ingest.doors.door import Door, Mount, Request
from ingest.limits import Rules
from tributary.http.response import Response

_SUCCESS = Response(b"success", content_type="text/plain; charset=utf-8")


class WeatherUndergroundDoor(Door):
    """A query string in US units."""

    name = "weather-underground"
    mounts = (Mount("/weatherstation/updateweatherstation.php", ("GET",), fields.LANE_QUERY),)

    def secret(self, request: Request) -> str:
        """`PASSWORD`, else `token`, else the Authorization header."""
        return fields.secret(request, "PASSWORD")

    def parse(self, request: Request, arrived_ms: int, rules: Rules) -> Batch:
        """Convert an upload to a reading of the station."""
        given = fields.of(request)
        device = fields.device(given, "ID")
        metrics = fields.Metrics(rules)
        weather.add(given, metrics)
        time_ms = fields.time_ms(given, "dateutc", arrived_ms, rules, naive_is_utc=True)
        return metrics.batch(device, time_ms, request)

    def ok(self, batch: Batch) -> Response:
        """The word that stations look for."""
        return _SUCCESS

    def duplicate(self, body: bytes) -> Response:
        """The same for a retry."""
        return _SUCCESS
