"""The Things Network and The Things Stack, version 3: webhooks in JSON.

    POST /record/ttn    {"end_device_ids":{"device_id":"dev1"},"received_at":"…","uplink_message":{
                           "decoded_payload":{"temperature":21.5},"received_at":"…",
                           "rx_metadata":[{"rssi":-35,"snr":5}]}}

The format is documented at https://www.thethingsindustries.com/docs/integrations/data-formats/.
"""

from __future__ import annotations

from typing import Any

from ingest.batch import Batch
from ingest.doors import numbers, webhook
from ingest.doors.door import Door, Mount, Request
from ingest.doors.record import responses
from ingest.limits import Rules

_DEVICE = "end_device_ids.device_id"


class TheThingsNetworkDoor(Door):
    """Uplink messages; all others are accepted and not stored."""

    name = "ttn"
    mounts = (Mount("/record/ttn", ("POST",), webhook.LANE_QUERY),)
    ok = staticmethod(responses.ok)
    duplicate = staticmethod(responses.duplicate)

    def parse(self, request: Request, arrived_ms: int, rules: Rules) -> Batch:
        """Convert an uplink message to a reading.

        Its time is that of the Network Server, or else that of the Application Server, which
        receives the message later.
        """
        item = webhook.load(request.body, "The Things Network")
        uplink = item.get("uplink_message")
        if uplink is None:
            if not isinstance(item.get("end_device_ids"), dict):
                raise webhook.wrong_shape("the message has no end_device_ids")
            return webhook.nothing()
        device = webhook.device(item, _DEVICE)
        decoded = webhook.metrics(webhook.find(uplink, "decoded_payload"))
        gateways = webhook.find(uplink, "rx_metadata")
        metrics = webhook.best_gateway(gateways) | decoded.metrics
        received_at = item.get("received_at") or webhook.find(uplink, "received_at")
        block = numbers.reading(device, received_at, metrics, arrived_ms, rules)
        return webhook.batch(block, decoded.ignored, _key(item), request, rules)


def _key(item: dict[str, Any]) -> str | None:
    """Session, frame counter and time identify an uplink; a device without sessions repeats none.

    A frame counter of 0 is omitted. Without its time, one that was reset would be repeated.
    """
    session = webhook.find(item, "uplink_message.session_key_id")
    received_at = webhook.find(item, "uplink_message.received_at")
    if not isinstance(session, str) or not isinstance(received_at, str):
        return None
    application = webhook.find(item, "end_device_ids.application_ids.application_id")
    counter = webhook.find(item, "uplink_message.f_cnt")
    device = webhook.find(item, _DEVICE)
    return webhook.idempotency_key("ttn", [application, device, session, counter, received_at])
