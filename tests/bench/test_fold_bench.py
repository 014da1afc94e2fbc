"""The benchmarks of the fold and of memory run briefly and lose nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from support.processes import ROOT

from bench.bench_memory import LATEST_MAX_BYTES, STREAM_MAX_BYTES, TOTAL_MAX_BYTES
from bench.bench_restart import PEAK_MAX_MIB


def bench(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments, "--json"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_fold_loses_nothing():
    found = bench("fold", "--short")
    assert len(found["scenarios"]) == 2
    for scenario in found["scenarios"]:
        kill = scenario["kill"]
        assert scenario["workers"]["tributary"]["counted"] == scenario["readings"]["tributary"]
        assert scenario["workers"]["plain"]["counted"] == scenario["readings"]["others"]
        assert kill["counted"]["tributary"] == kill["readings"]
    assert [row["aggregators"] for row in found["scaling"]] == [1, 2, 4]
    assert {row["counted"] for row in found["scaling"]} == {scenario["readings"]["tributary"]}


def test_a_series_and_a_reading_stay_within_their_memory_limits():
    found = bench("memory", "--series", "2000")
    assert found["series_bytes"]["total"] <= TOTAL_MAX_BYTES
    assert found["latest_bytes"]["total"] <= LATEST_MAX_BYTES
    assert found["latest_bytes"]["rings"] == 0
    assert found["reading_bytes"] <= STREAM_MAX_BYTES


def test_a_restart_applies_everything_and_is_bounded():
    found = bench("restart", "--devices", "2000", "--metrics", "2", "--per-frame", "4")
    assert found["counted"] == found["recorded"] == 12_000
    assert 0 < found["first commit, s"] <= found["drained, s"]
    assert 0 < found["peak memory, MiB"] <= PEAK_MAX_MIB
