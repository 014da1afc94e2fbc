"""Sensor.Community: "Send data to own API" of the airrohr firmware.

    POST /record/sensor-community
         {"esp8266id":"1234567","sensordatavalues":[{"value_type":"SDS_P1","value":"16.85"}, …]}

The value types are described at
https://github.com/opendata-stuttgart/meta/wiki/EN-data-format-description. They name the sensor
and what it measures, and a station may have several sensors of one quantity, so they are the
metrics as sent.
"""

from __future__ import annotations

from typing import Any

from ingest.batch import Batch
from ingest.doors import numbers, webhook
from ingest.doors.door import Door, Mount, Request
from ingest.doors.record import responses
from ingest.limits import Rules
from tributary.errors import Refused


class SensorCommunityDoor(Door):
    """One message every few minutes, without a time."""

    name = "sensor-community"
    mounts = (Mount("/record/sensor-community", ("POST",), webhook.LANE_QUERY),)
    ok = staticmethod(responses.ok)
    duplicate = staticmethod(responses.duplicate)

    def parse(self, request: Request, arrived_ms: int, rules: Rules) -> Batch:
        """Convert a message to a reading of the time of arrival."""
        item = webhook.load(request.body, "Sensor.Community")
        if not isinstance(item.get("sensordatavalues"), list):
            raise webhook.wrong_shape("the message has no array sensordatavalues")
        device = webhook.device(item, "esp8266id")
        values = webhook.metrics(_values(item["sensordatavalues"]))
        block = numbers.reading(device, None, values.metrics, arrived_ms, rules)
        return webhook.batch(block, values.ignored, None, request, rules)


def _values(given: list[Any]) -> dict[str, Any]:
    """Values by their type.

    Raises:
        Refused: 400 for an element without type and value, 422 for a type that occurs twice.
    """
    found: dict[str, Any] = {}
    for index, each in enumerate(given):
        name = webhook.find(each, "value_type")
        if not isinstance(name, str) or "value" not in each:
            raise webhook.wrong_shape(f"sensordatavalues[{index}] has no value_type or no value")
        if name in found:
            raise Refused(
                f"value_type {name!r:.80} occurs twice; send it once",
                status=422,
                code="ambiguous_field",
                field=name[:80],
            )
        found[name] = each["value"]
    return found
