"""The benchmarks of hostile clients run, and no normal request is rejected."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.processes import ROOT


def figures(to: Path, *arguments: str) -> Any:
    """The rows of the JSON that a benchmark writes."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments, "--json", str(to)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(to.read_text())["rows"]


def test_slow_clients_cause_no_rejections(tmp_path: Path):
    few = ("--connections", "50", "--interval", "0.2", "--seconds", "1")
    rows = figures(tmp_path / "slow.json", "slowloris", *few)
    assert {"alone", "slow head", "slow body", "slow chunks"} < set(rows)
    for requests, *_, refused, _ in rows.values():
        assert requests > 0
        assert refused == 0


def test_no_bomb_causes_a_server_error(tmp_path: Path):
    rows = figures(tmp_path / "bombs.json", "bombs")
    assert len(rows) == 10
    assert all(status < 500 for _, statuses, _, _ in rows for status in statuses)
