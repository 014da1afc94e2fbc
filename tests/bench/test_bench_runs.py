"""The benchmarks run briefly and lose nothing; their figures are not checked."""

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
    needed("mosquitto")
    needed("redis-server")


def run(name: str, to: Path, *options: str) -> tuple[str, dict[str, Any]]:
    """The output and the JSON of a short benchmark."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", name, "--short", "--to", str(to), *options],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (to / f"{name}.png").stat().st_size > 10_000
    assert (to / f"{name}.md").read_text() in done.stdout
    return done.stdout, json.loads((to / f"{name}.json").read_text())


def skipped(output: str) -> int:
    return output.count(" was skipped: ")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ingest_loses_nothing(tmp_path: Path):
    output, found = run("ingest", tmp_path)
    assert len({s["peer"] for s in found["samples"]}) == 5 - skipped(output)
    assert all(s["rate"] > 0 for s in found["samples"])
    fleet = [s for s in found["samples"] if s["case"] == "fleet"]
    assert len({s["peer"] for s in fleet}) == 5 - skipped(output)
    assert all(s["redis"] is None or s["redis"]["file_bytes"] > 0 for s in fleet)
    for each in found["reconciliations"]:
        assert 0 <= each["stored"] - each["acknowledged"] <= each["unconfirmed"], each
    half = found["half_load"]["result"]
    assert half["succeeded"] + half["rejected"] + half["errors"] == half["sent"]
    assert found["memory"]["series"]["requests"][-1] >= 5_000
    assert "## Memory" in output


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        pytest.param(
            ("sustained", "--seconds", "3"),
            r"accepted (?!0,)([\d,]+), applied \1, lost 0, .*pending 0",
            marks=pytest.mark.sample,
        ),
        (
            ("capacity", "--sizes", "50,200", "--seconds", "1"),
            r"\| 2?\d\d/s, 3 metrics, batch 1 \| redis_cores \| 0\.\d+ \| 0\.\d+ \| \d",
        ),
        (
            ("freshness", "--seconds", "1", "--rate", "500", "--devices", "500"),
            r"fleet joining, \d+ probes: p50 .*\nfreshness  fleet known, \d+ probes: p50 ",
        ),
        (("webhooks", "--seconds", "1", "--rate", "300"), r"webhooks  \d+ transitions: p50 "),
        (
            ("mqtt", "--messages", "500"),
            r"bridge, JSON with an id: [\d,]+ messages.*\npaho alone, bare numbers: [\d,]+",
        ),
        (("export", "--rows", "20000"), r"\| parquet \| 20,000 \| [\d.]+ \|"),
        (("forget", "--hours", "0.5"), r"files_after      \[\]\nkeys_after       0\n"),
        (
            ("jobs", "--seconds", "2", "--jobs", "20"),
            r"\| in the worker \| \d+.*\n\| with a fork \| \d",
        ),
        (
            ("commits", "HEAD", "--short", "--only", "http"),
            r"\| collect fleet: HEAD vs HEAD \| 16 \| \d[^$]+\| fleet, 16 connections \| Redis µs",
        ),
        (
            ("commits", "HEAD", "--short", "--only", "fold", "--only", "memory"),
            r"\| wide, frames of 1 \| Redis µs per reading \|[^$]+\| all windows full \|",
        ),
    ],
    ids=[
        "sustained",
        "capacity",
        "freshness",
        "webhooks",
        "mqtt",
        "export",
        "forget",
        "jobs",
        "commits",
        "commits-fold",
    ],
)
def test_measures_end_to_end(name: tuple[str, ...], pattern: str):
    done = subprocess.run(
        [sys.executable, "-m", "bench", *name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(pattern, done.stdout), done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_collect_rejects_nothing(tmp_path: Path):
    output, found = run("collect", tmp_path, "--devices", "2000", "--points", "1000")
    assert len({s["peer"] for s in found["samples"]}) == 4 - skipped(output)
    assert all(s["rate"] > 0 and not s["load"]["rejected"] for s in found["samples"])
    assert found["device_counts"][0]["many"] == 2000
    assert found["half_load"]["result"]["rejected"] == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_history_returns_every_row(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "bench", "history", "--short", "--to", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "history.json").read_text())
    assert len(found["outcomes"]) == 3 - skipped(done.stdout)
    for each in found["outcomes"]:
        assert each["size_bytes"] > 20 * each["rows"]
        assert [query["rows"] for query in each["queries"]] == [2 * 1440, 5 * 48, 5 * 2 * 1440]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_line_protocol_loses_nothing(tmp_path: Path):
    output, found = run("line-protocol", tmp_path)
    assert len({s["peer"] for s in found["samples"]}) == 2 - skipped(output)
    assert all(s["rate"] > 0 and not s["load"]["rejected"] for s in found["samples"])
