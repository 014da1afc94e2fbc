"""2. Send many readings in one request: as an array, as columns, or in part."""

from __future__ import annotations

import time

from support.processes import Deployment
from support.waiting import wait_until


def count(deployment: Deployment, device: str) -> int:
    """The number of readings of the metric `speed` that were counted."""
    status, body = deployment.get(f"/api/v1/devices/{device}")
    return body["metrics"]["speed"]["total"]["count"] if status == 200 else 0


def test_send_an_array_of_readings(deployment: Deployment):
    readings = [{"device": "truck-1", "speed": speed} for speed in (50, 60, 70)]
    status, body = deployment.post("/record", readings)
    assert status == 200
    assert body == {"success": True, "accepted": 3}
    wait_until(lambda: count(deployment, "truck-1") == 3, "three readings")


def test_send_the_samples_of_one_device_as_columns(deployment: Deployment):
    now_ms = int(time.time() * 1000)
    columns = {
        "device": "truck-2",
        "recorded_at": [now_ms - 200, now_ms - 100, now_ms],
        "speed": [50, 60, 70],
    }
    assert deployment.post("/record", columns)[0] == 200
    wait_until(lambda: count(deployment, "truck-2") == 3, "three readings")


def test_one_invalid_reading_rejects_the_whole_batch(deployment: Deployment):
    readings = [{"device": "truck-3", "speed": 50}, {"device": "truck-3", "speed": None}]
    status, body = deployment.post("/record", readings)
    assert status == 422
    assert body["error"]["index"] == 1


def test_invalid_readings_can_be_skipped(deployment: Deployment):
    readings = [{"device": "truck-4", "speed": 50}, {"device": "truck-4", "speed": None}]
    status, body = deployment.post("/record?on_error=skip", readings)
    assert status == 200
    assert body["accepted"] == 1
    assert body["rejected"][0]["index"] == 1
    wait_until(lambda: count(deployment, "truck-4") == 1, "the valid reading")
