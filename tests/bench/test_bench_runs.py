"""The short benches run wherever CI runs; of figures they assert only that nothing was lost."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.processes import ROOT
from support.programs import needed


@pytest.fixture(autouse=True)
def programs() -> None:
    needed("wrk")
    needed("redis-server")


def run(name: str, to: Path, *options: str) -> tuple[str, dict[str, Any]]:
    """What the short bench prints, and its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", name, "--short", "--to", str(to), *options],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (to / f"{name}.png").stat().st_size > 10_000
    assert (to / f"{name}.md").read_text() in done.stdout
    return done.stdout, json.loads((to / f"{name}.json").read_text())


def left_out(said: str) -> int:
    return said.count(" was left out: ")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ingest_is_measured_and_loses_nothing(tmp_path: Path):
    said, found = run("ingest", tmp_path)
    assert len({s["peer"] for s in found["samples"]}) == 5 - left_out(said)
    assert all(s["rate"] > 0 for s in found["samples"])
    for kept in found["kept"]:
        assert 0 <= kept["stored"] - kept["answered"] <= kept["unheard"], kept
    half = found["at_half"]["result"]
    assert half["answered"] + half["refused"] + half["broken"] == half["sent"]
    assert found["memory"]["series"]["requests"][-1] >= 5_000
    assert "## Memory" in said


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            ("sustained", "--seconds", "3"),
            r"accepted (?!0,)([\d,]+), applied \1, lost 0, .*pending 0",
        ),
        (("freshness", "--seconds", "2", "--rate", "500"), r"freshness  \d+ probes: p50 "),
    ],
    ids=["sustained", "freshness"],
)
def test_all_of_it_is_measured_end_to_end(name: tuple[str, ...], says: str):
    done = subprocess.run(
        [sys.executable, "-m", "bench", *name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(says, done.stdout), done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_collect_is_measured(tmp_path: Path):
    said, found = run("collect", tmp_path, "--devices", "2000", "--points", "1000")
    assert len({s["peer"] for s in found["samples"]}) == 4 - left_out(said)
    assert all(s["rate"] > 0 and not s["load"]["refused"] for s in found["samples"])
    assert found["populations"][0]["many"] == 2000
    assert found["at_half"]["result"]["refused"] == 0
