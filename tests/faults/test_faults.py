"""Chaos with the suite: a fixed seed, a fresh one, and the seeds that once found something."""

from __future__ import annotations

import os
import random

import pytest
from support.programs import needed

from faults import fault_report, fault_run
from faults.fault_catalogue import find

STORM_S = 35.0


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["fixed", "fresh"])
def test_nothing_is_lost_or_counted_twice_in_a_storm(kind: str):
    seed = 7 if kind == "fixed" else random.randrange(1 << 16)
    result = fault_run.storm(fault_run.Order(seed), STORM_S)
    print("\n" + fault_report.line(result))  # noqa: T201 - figures
    assert result.is_clean, fault_report.line(result)
    assert result.found is not None
    assert result.found.acknowledged > 0
    assert result.found.lost == result.found.duplicated == result.found.indeterminate == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("F8", 1),  # machine crash
        ("F9", 3),  # torn file
        ("F17", 1),  # disk full, the server exits
        ("F19", 1),  # once: a full server did not drain after a worker had died
        ("F22", 2),  # once: a dead worker lived on in the future
        ("F26", 1),  # a stream deleted
        ("F28", 1),  # backlog at its cap
        ("F32", 3),  # a fleet joins; in thousands, as the next two
        ("F33", 2),  # a wide batch
        ("F34", 20),  # a backlog at start
    ],
)
def test_a_fault_that_needs_its_own_deployment(name: str, times: int):
    if name in ("F8", "F22"):  # they start Debian's server
        needed("redis-server")
    result = fault_run.one(find(name), fault_run.Order(seed=3, times=times))
    if result.found is None and (os.geteuid() != 0 or "CI" not in os.environ):
        pytest.skip(fault_report.seen(result))
    print("\n" + fault_report.line(result))  # noqa: T201 - figures
    assert result.found is not None, fault_report.line(result)
    assert result.is_clean, fault_report.line(result)
