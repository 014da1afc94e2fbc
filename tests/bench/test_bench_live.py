"""A thousand listeners cost less than 50 MiB, as measured by `scripts/bench live`."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from support.processes import ROOT


@pytest.mark.slow
def test_a_thousand_idle_listeners_cost_less_than_50_mib():
    done = subprocess.run(
        [sys.executable, "-m", "bench", "live", "--seconds", "1"],
        cwd=ROOT, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    idle = re.search(r"1000 listeners: ([0-9.]+) MiB", done.stdout)
    received = re.search(r": ([0-9]+) events/s received", done.stdout)
    assert idle is not None
    assert received is not None
    assert float(idle[1]) < 50, done.stdout
    assert int(received[1]) > 0, done.stdout
