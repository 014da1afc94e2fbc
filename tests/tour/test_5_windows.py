"""5. Read averages over sliding windows, and the slots that they consist of."""

from __future__ import annotations

import time

import pytest
from support.processes import Deployment
from support.waiting import wait_until

MINUTE_MS = 60_000


def test_each_window_counts_the_readings_of_its_length(deployment: Deployment):
    now_ms = int(time.time() * 1000)
    minutes_ago = {0: 10.0, 5: 20.0, 30: 60.0}
    readings = [
        {"device": "ship-1", "recorded_at": now_ms - minutes * MINUTE_MS, "speed": speed}
        for minutes, speed in minutes_ago.items()
    ]
    assert deployment.post("/record", readings)[0] == 200

    def total() -> int:
        status, body = deployment.get("/api/v1/devices/ship-1")
        return body["metrics"]["speed"]["total"]["count"] if status == 200 else 0

    wait_until(lambda: total() == 3, "three readings")
    path = "/api/v1/devices/ship-1/metrics/speed"
    _, last_15_minutes = deployment.get(f"{path}?window=15m")
    _, last_hour = deployment.get(f"{path}?window=1h")
    assert last_15_minutes["count"] == 2
    assert last_15_minutes["mean"] == 15.0
    assert last_hour["count"] == 3
    assert last_hour["mean"] == pytest.approx(30.0)
    assert (last_hour["min"], last_hour["max"]) == (10.0, 60.0)

    # A chart needs the slots themselves.
    _, history = deployment.get(f"{path}/history?window=1h")
    assert sum(slot["count"] for slot in history["slots"]) == 3
