"""The average temperature of a room."""

from __future__ import annotations

import pytest
from support.processes import Deployment
from support.waiting import wait_until

from tributary.model import reading
from tributary.model.clock import utc_ms

PATH = "/api/v1/buildings/average/rooms/{}/temperatures"


def test_the_average_over_a_duration(deployment: Deployment):
    path = PATH.format("1")
    now_ms = utc_ms()
    for age_s, temperature in [(30, 20.0), (60, 21.0), (3 * 3600, 30.0)]:
        naive = reading.rfc3339(now_ms - age_s * 1000).removesuffix("Z")
        body = {"temperature": temperature, "recorded_at": naive}
        assert deployment.post(path, body) == (201, {"success": True})
    wait_until(lambda: deployment.get(f"{path}/average?duration=6h")[1]["count"] == 3, "all")
    for duration, count, average in [("6h", 3, 71 / 3), ("15m", 2, 20.5), (None, 2, 20.5)]:
        query = "" if duration is None else f"?duration={duration}"
        status, body = deployment.get(f"{path}/average{query}")
        assert status == 200
        assert body["count"] == count
        assert body["average_temperature"] == pytest.approx(average)
        assert body["from"] < reading.rfc3339(now_ms) < body["to"]


@pytest.mark.parametrize("room", ["never-seen", "old"])
def test_null_and_zero_without_readings(deployment: Deployment, room: str):
    path = PATH.format(room)
    if room == "old":
        old = {"temperature": 10.5, "recorded_at": "2024-12-10T16:45:00"}
        assert deployment.post(path, old)[0] == 201
        device = f"/api/v1/devices/average/{room}"
        wait_until(lambda: deployment.get(device)[0] == 200, "the reading to be applied")
    status, body = deployment.get(f"{path}/average?duration=15m")
    assert (status, body["average_temperature"], body["count"]) == (200, None, 0)
    assert body["from"] < body["to"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (PATH.format("1") + "/average?duration=soon", 400, "invalid_duration"),
        (PATH.format("1") + "/average?duration=", 400, "invalid_duration"),
        (PATH.format("a%20b") + "/average", 404, "unknown_device"),
    ],
)
def test_average_errors(deployment: Deployment, path: str, status: int, code: str):
    found, body = deployment.get(path)
    assert (found, body["error"]["code"]) == (status, code)
