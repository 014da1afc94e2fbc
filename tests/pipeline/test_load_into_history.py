"""A data set of a past year is in the history, the API and the dashboard after it was loaded."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from support.processes import WITH_JOBS, Deployment, tributary
from support.waiting import wait_until

from tributary.model import reading

YEAR_MS = 1_577_836_800_000  # 2020
STEP_MS = 1_200_000
ROWS = 2_000  # of 28 days
SPAN = {"from": "2020-01-01T00:00:00Z", "to": "2021-01-01T00:00:00Z"}


def get(url: str, path: str, **query: str) -> Any:
    full = f"{url}/api/v1/devices/{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(full, timeout=30) as response:
        return json.load(response)


@pytest.mark.slow
@pytest.mark.parametrize("history", ["on", "required"])
def test_a_year_of_the_past_is_shown(tmp_path: Path, history: str):
    path = tmp_path / "2020.csv"
    rows = [f"{YEAR_MS + n * STEP_MS},{n % 90}\n" for n in range(ROWS)]
    path.write_text("".join(["time,engine_temperature\n", *rows]))
    running = Deployment(tmp_path / "up", environ={"TRIBUTARY_HISTORY": history, **WITH_JOBS})
    now = tributary(
        "load", str(path), "--device", "past", "--url", running.url,
        "--state-dir", str(tmp_path / "state"),
    )  # fmt: skip
    assert now.end() == 0, now.text
    metric = "past/metrics/engine_temperature"

    def days() -> Any:
        try:
            slots = get(running.url, f"{metric}/history", **SPAN, slot="1d")["slots"]
        except urllib.error.HTTPError as error:
            if error.code not in {404, 503}:
                raise
            return None  # the first commit creates the device, the first job the history
        return sum(slot["count"] for slot in slots) == ROWS and slots

    slots = wait_until(days, "the history to have all rows", 60)
    assert [slot["from"] for slot in slots] == [
        reading.rfc3339(YEAR_MS + day * 86_400_000) for day in range(28)
    ]
    assert slots[0]["count"] == 72
    assert slots[0]["mean"] == sum(n % 90 for n in range(72)) / 72
    assert get(running.url, metric, window="15m")["count"] == 0, "slots of today have old readings"
    status = tributary("audit", "--data-dir", str(tmp_path / "up"))
    assert status.end() == 0, status.text
    assert running.stop() == 0, running.process.text
