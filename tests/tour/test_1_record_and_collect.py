"""What a newcomer does first: record, then collect."""

from __future__ import annotations

import time

from support.processes import Deployment
from support.waiting import wait_until


def collected(deployment: Deployment, device: str) -> dict:
    status, answer = deployment.get(f"/collect?device={device}")
    return answer if status == 200 else {}


def test_a_reading_that_was_recorded_can_be_collected(deployment: Deployment):
    assert deployment.post("/record", {"device": "first", "engine_temperature": 0.3}) == (
        200,
        {"success": True},
    )
    answer = wait_until(lambda: collected(deployment, "first"), "the reading to be applied")
    assert answer["current_engine_temperature"] == 0.3
    assert answer["average_engine_temperature"] == 0.3
    assert answer["stale"] is False


def test_the_average_is_the_mean_of_the_last_ten(deployment: Deployment):
    values = [90.1, 92.3, 91.7, 93.2, 90.9, 95.1, 94.4, 92.2, 91.8, 90.3, 99.9]
    for value in values:
        deployment.post("/record", {"device": "ten", "engine_temperature": value})
    answer = wait_until(
        lambda: (
            collected(deployment, "ten").get("current_engine_temperature") == 99.9
            and collected(deployment, "ten")
        ),
        "the last reading to be applied",
    )
    assert answer["average_engine_temperature"] == sum(values[1:]) / 10


def test_a_late_reading_does_not_move_current_back(deployment: Deployment):
    now_ms = int(time.time() * 1000)
    for offset_ms, value in ((0, 1.0), (-5000, 2.0)):
        deployment.post(
            "/record", {"device": "late", "recorded_at": now_ms + offset_ms, "speed": value}
        )
    answer = wait_until(
        lambda: (
            collected(deployment, "late").get("average_speed") == 1.5
            and collected(deployment, "late")
        ),
        "both readings to be applied",
    )
    assert answer["current_speed"] == 1.0
