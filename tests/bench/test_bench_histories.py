"""The benchmarks of the history run briefly, and lose nothing."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from support.processes import ROOT
from support.programs import needed


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("history-load", r"api +[\d,]+ slots of a day with 2,000 readings"),
        ("history-cost", r"fold: history on vs off \d"),
    ],
)
def test_measures_the_history(name: str, pattern: str):
    needed("wrk")
    needed("redis-server")
    done = subprocess.run(
        [sys.executable, "-m", "bench", name, "--short"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(pattern, done.stdout), done.stdout
