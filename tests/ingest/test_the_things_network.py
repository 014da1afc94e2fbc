"""The door for webhooks of The Things Network; its data has the documented fields."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.door_requests import NOW_MS, parse, readings
from support.processes import ROOT

from ingest.doors.the_things_network import TheThingsNetworkDoor
from tributary.errors import Refused
from tributary.model import reading

DOOR = TheThingsNetworkDoor()
UPLINK = json.loads((ROOT / "tests/data/ttn_uplink.json").read_bytes())


def uplink(**changes: Any) -> dict[str, Any]:
    """The documented message with other members of `uplink_message`; `...` removes one."""
    found = {**UPLINK["uplink_message"], **changes}
    left = {name: value for name, value in found.items() if value is not ...}
    return {**UPLINK, "uplink_message": left}


def test_an_uplink_message():
    batch = parse(DOOR, UPLINK)
    assert batch.ignored == ["state", "raw", "time"]
    [(device, time_ms, metrics)] = readings(batch)
    assert (device, reading.rfc3339(time_ms)) == ("soil-7", "2025-11-25T15:40:45.869Z")
    assert metrics == {
        "temperature": 21.5, "Luft_feuchte": 45.5, "gps_2.latitude": 52.5, "gps_2.longitude": 13.4,
        "alarm": 0, "rssi": -35, "snr": 5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "time", "metrics"),
    [
        ({**uplink(decoded_payload={"t": 1}), "received_at": None}, "2025-11-25T15:40:45.664Z",
         {"t": 1, "rssi": -35, "snr": 5}),
        (uplink(rx_metadata=[], decoded_payload={"t": 1}), "2025-11-25T15:40:45.869Z", {"t": 1}),
        (uplink(decoded_payload=...), "2025-11-25T15:40:45.869Z", {"rssi": -35, "snr": 5}),
        (uplink(decoded_payload={"rssi": 1}), "2025-11-25T15:40:45.869Z", {"rssi": 1, "snr": 5}),
        ({**uplink(received_at=..., rx_metadata=[], decoded_payload={"t": 1}), "received_at": None},
         reading.rfc3339(NOW_MS), {"t": 1}),
    ],
)  # fmt: skip
def test_variants(body: Any, time: str, metrics: dict[str, float]):
    [found] = readings(parse(DOOR, body))
    assert (reading.rfc3339(found.time_ms), found.metrics) == (time, metrics)


@pytest.mark.parametrize(
    "kind", ["join_accept", "downlink_ack", "downlink_sent", "location_solved", "service_data"]
)
def test_other_messages_store_nothing(kind: str):
    batch = parse(DOOR, {"end_device_ids": UPLINK["end_device_ids"], kind: {"received_at": "x"}})
    assert (batch.readings, batch.idempotency_key) == (0, None)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "not_json"),
        ([UPLINK], 400, "wrong_shape"),
        ({"temperature": 1}, 400, "wrong_shape"),
        ({**UPLINK, "end_device_ids": {}}, 422, "missing_device"),
        ({**UPLINK, "end_device_ids": {"device_id": "a b"}}, 422, "invalid_device"),
        ({**UPLINK, "end_device_ids": {"device_id": True}}, 422, "invalid_device"),
        (uplink(decoded_payload={}, rx_metadata=[]), 422, "no_metrics"),
        ({**UPLINK, "received_at": "yesterday"}, 422, "invalid_time"),
        ({**UPLINK, "received_at": "2199-01-01T00:00:00Z"}, 422, "in_future"),
        (uplink(decoded_payload={"a b": 1, "a_b": 2}), 422, "ambiguous_field"),
        (uplink(decoded_payload={"x" * 65: 1}), 422, "invalid_metric"),
        (uplink(decoded_payload={f"m{n}": n for n in range(65)}), 422, "too_many_metrics"),
    ],
)
def test_errors(body: Any, status: int, code: str):
    with pytest.raises(Refused) as caught:
        parse(DOOR, body)
    assert (caught.value.status, caught.value.code) == (status, code)


def test_session_counter_and_time_identify_an_uplink():
    def key(body: Any) -> str | None:
        return parse(DOOR, body).idempotency_key

    others = [
        uplink(f_cnt=12), uplink(f_cnt=...), uplink(session_key_id="x"),
        uplink(received_at="2025-11-25T15:41:00Z"),
        {**UPLINK, "end_device_ids": {"device_id": "b"}},
    ]  # fmt: skip
    assert key(UPLINK) == key(uplink())
    assert len({key(UPLINK), *map(key, others)}) == 6
    assert key(uplink(session_key_id=...)) is None
    assert key(uplink(received_at=...)) is None
