"""1. Record a reading with POST /record, then collect it with GET /collect."""

from __future__ import annotations

import time

from support.processes import Deployment
from support.waiting import wait_until

# `deployment` is a running `tributary up`; `post` and `get` return the status and the JSON body.


def test_record_a_reading_and_collect_it(deployment: Deployment):
    reading = {"device": "car-1", "engine_temperature": 92.5}
    assert deployment.post("/record", reading) == (200, {"success": True})

    # A recorded reading is safe at once, and can be collected a few milliseconds later.
    wait_until(lambda: deployment.get("/collect?device=car-1")[0] == 200, "the device to exist")
    _, collected = deployment.get("/collect?device=car-1")
    assert collected["current_engine_temperature"] == 92.5
    assert collected["average_engine_temperature"] == 92.5
    assert collected["stale"] is False


def test_the_average_covers_the_last_ten_readings(deployment: Deployment):
    values = [90.1, 92.3, 91.7, 93.2, 90.9, 95.1, 94.4, 92.2, 91.8, 90.3, 99.9]
    for value in values:
        deployment.post("/record", {"device": "car-2", "engine_temperature": value})

    def current() -> float | None:
        return deployment.get("/collect?device=car-2")[1].get("current_engine_temperature")

    wait_until(lambda: current() == 99.9, "the last reading")
    _, collected = deployment.get("/collect?device=car-2")
    assert collected["average_engine_temperature"] == sum(values[1:]) / 10


def test_the_current_value_is_the_one_with_the_newest_time(deployment: Deployment):
    now_ms = int(time.time() * 1000)
    deployment.post("/record", {"device": "car-3", "recorded_at": now_ms, "speed": 1.0})
    deployment.post("/record", {"device": "car-3", "recorded_at": now_ms - 5000, "speed": 2.0})

    def average() -> float | None:
        return deployment.get("/collect?device=car-3")[1].get("average_speed")

    wait_until(lambda: average() == 1.5, "both readings")
    _, collected = deployment.get("/collect?device=car-3")
    assert collected["current_speed"] == 1.0


def test_an_invalid_reading_is_rejected_with_the_reason(deployment: Deployment):
    status, body = deployment.post("/record", {"device": "car-4", "speed": "fast"})
    assert status == 422
    assert body["success"] is False
    assert body["error"]["code"] == "not_a_number"
    assert body["error"]["field"] == "speed"
