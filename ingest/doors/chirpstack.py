"""ChirpStack, version 4: its HTTP integration with JSON encoding.

    POST /record/chirpstack?event=up
         {"deduplicationId":"…","time":"…","deviceInfo":{"devEui":"0102030405060708"},
          "object":{"temperature":21.5},"rxInfo":[{"rssi":-48,"snr":9}]}

The format is that of `UplinkEvent` in integration.proto of https://github.com/chirpstack/chirpstack.
"""

from __future__ import annotations

from ingest.batch import Batch
from ingest.doors import numbers, webhook
from ingest.doors.door import Door, Mount, Request
from ingest.doors.record import responses
from ingest.limits import Rules
from tributary.errors import Refused

_DEVICES = {"dev_eui": "deviceInfo.devEui", "device_name": "deviceInfo.deviceName"}


class ChirpStackDoor(Door):
    """Uplink events; all others are accepted and not stored."""

    name = "chirpstack"
    mounts = (
        Mount("/record/chirpstack", ("POST",), f"(?:{webhook.LANE_QUERY}&)?event=[a-z]{{1,20}}"),
    )
    ok = staticmethod(responses.ok)
    duplicate = staticmethod(responses.duplicate)

    def parse(self, request: Request, arrived_ms: int, rules: Rules) -> Batch:
        """Convert an uplink event to a reading of its device."""
        event = request.query.get("event", "")
        if not event:
            raise _invalid("event", event, "the name of an event, which ChirpStack adds to the URL")
        path = _DEVICES.get(request.query.get("device", "dev_eui"))
        if path is None:
            raise _invalid("device", request.query["device"], "dev_eui or device_name")
        if event != "up":
            return webhook.nothing()
        item = webhook.load(request.body, "ChirpStack")
        device = webhook.device(item, path)
        decoded = webhook.metrics(item.get("object"))
        metrics = webhook.best_gateway(item.get("rxInfo")) | decoded.metrics
        block = numbers.reading(device, item.get("time"), metrics, arrived_ms, rules)
        id_ = item.get("deduplicationId")
        key = webhook.idempotency_key(self.name, [id_]) if isinstance(id_, str) and id_ else None
        return webhook.batch(block, decoded.ignored, key, request, rules)


def _invalid(name: str, given: str, rule: str) -> Refused:
    return Refused(
        f"{name}={given!r:.40} is not {rule}", status=400, code=f"invalid_{name}", field=name
    )
