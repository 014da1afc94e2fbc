"""`tributary load` resumes after each kill, and nothing counts twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.pipeline import Run
from support.processes import Deployment
from support.waiting import wait_until

READINGS = 40_000
DEVICE = "load-killed"


def counted(deployment: Deployment) -> int:
    status, response = deployment.get(f"/api/v1/devices/{DEVICE}")
    return response["metrics"]["speed"]["total"]["count"] if status == 200 else 0


@pytest.mark.kills
def test_resumes_after_a_kill_at_any_moment(run: Run, deployment: Deployment, tmp_path: Path):
    path = tmp_path / "readings.csv"
    lines = [f"{DEVICE},{1_700_000_000 + number},{number}\n" for number in range(READINGS)]
    path.write_text("".join(["device,time,speed\n", *lines]))
    command = ("load", str(path), "--url", deployment.url, "--state-dir", str(tmp_path / "state"))
    for killed_at in (1, READINGS // 4, READINGS // 2):
        process = run(*command)
        wait_until(lambda n=killed_at: counted(deployment) >= n, "some to arrive")
        process.kill()
    assert run(*command).end() == 0
    wait_until(lambda: counted(deployment) >= READINGS, "all of them")
    assert counted(deployment) == READINGS
