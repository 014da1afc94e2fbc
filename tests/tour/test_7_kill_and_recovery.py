"""7. Kill everything: each acknowledged reading is still there, and is counted once."""

from __future__ import annotations

from pathlib import Path

from support.processes import Deployment
from support.waiting import wait_until


def test_acknowledged_readings_survive_a_kill(tmp_path: Path):
    deployment = Deployment(tmp_path / "data")
    for number in range(100):
        reading = {"device": "train-1", "speed": number}
        assert deployment.post("/record", reading)[0] == 200
    deployment.process.kill()

    restarted = Deployment(tmp_path / "data")

    def count() -> int:
        status, body = restarted.get("/api/v1/devices/train-1")
        return body["metrics"]["speed"]["total"]["count"] if status == 200 else 0

    wait_until(lambda: count() == 100, "every reading")

    # `tributary status` and this path account for every reading that was ever accepted.
    _, status = restarted.get("/api/v1/status")
    assert status["accepted"] == 100
    assert status["lost"] == 0
    assert status["dead"] == 0
    assert restarted.stop() == 0
