"""Sensor.Community: "Send data to own API" of the airrohr firmware.

    POST /record/sensor-community
         {"esp8266id":"1234567","sensordatavalues":[{"value_type":"SDS_P1","value":"16.85"}, …]}

The value types are described at
https://github.com/opendata-stuttgart/meta/wiki/EN-data-format-description.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from ingest.batch import Batch
from ingest.doors import numbers, webhook
from ingest.doors.door import Door, Mount, Request
from ingest.doors.record import responses
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.model import units

# A sensor, and what it measures: `BME280_pressure`, `SDS_P1`; `temperature` is that of a DHT22.
# `P1` without a sensor is a count of the PPD42NS, not a mass.
_VALUE_TYPE = re.compile(
    r"(?:[A-Z0-9]+_)?(?P<quantity>temperature|humidity|pressure)"
    r"|(?:SDS|PMS|HPM|NPM|SPS30|IPS)_(?P<mass>P1|P2)"
)
_METRICS = {"P1": "pm10", "P2": "pm25"}


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
        values = webhook.metrics(_known(_values(item["sensordatavalues"])))
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


def _known(values: dict[str, Any]) -> dict[str, Any]:
    """The values under the names and in the units of the catalogue.

    If two sensors measure the same, both keep the names and the units that they were sent with.
    """
    metrics = {name: _metric(name) for name in values}
    counts = Counter(metrics.values())
    found: dict[str, Any] = {}
    for name, value in values.items():
        metric = metrics[name]
        if metric is None or counts[metric] > 1:
            found[name] = value
            continue
        number = numbers.of(value)
        if metric == "pressure" and number is not None:
            number = units.convert(number, "Pa", "hPa")
        found[metric] = number
    return found


def _metric(value_type: str) -> str | None:
    """The metric of the catalogue, or None."""
    match = _VALUE_TYPE.fullmatch(value_type)
    if match is None:
        return None
    return match["quantity"] or _METRICS[match["mass"]]
