"""Fault injection within the suite: a fixed seed, a random one, and seeds that once found a bug."""

from __future__ import annotations

import os
import random

import pytest
from support.programs import needed

from faults import fault_report, fault_run
from faults.fault_catalogue import find

pytestmark = pytest.mark.kills

STORM_S = 9.0  # scripts/chaos --minutes runs longer ones


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["fixed", "random"])
def test_nothing_is_lost_or_counted_twice_in_a_storm(kind: str):
    seed = 7 if kind == "fixed" else random.randrange(1 << 16)
    result = fault_run.run_storm(fault_run.RunOptions(seed), STORM_S)
    print("\n" + fault_report.line(result))  # noqa: T201 - figures
    assert result.is_clean, fault_report.line(result)
    assert result.findings is not None
    assert result.findings.acknowledged > 0
    assert result.findings.lost == result.findings.duplicated == result.findings.indeterminate == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("F8", 1),  # machine crash
        ("F9", 3),  # truncated file
        ("F17", 1),  # disk full, the server exits
        ("F19", 1),  # regression: a full server did not drain after an aggregator died
        ("F22", 2),  # regression: a dead aggregator seemed alive until the clock caught up
        ("F26", 1),  # a stream deleted
        pytest.param("F28", 1, marks=pytest.mark.sample),  # backlog at its limit
        pytest.param(
            "F32", 3, marks=pytest.mark.sample
        ),  # a fleet joins; in thousands, like the next two
        ("F33", 2),  # a wide batch
        ("F34", 5),  # a backlog at start
    ],
)
def test_a_fault_in_its_own_deployment_breaks_no_guarantee(name: str, times: int):
    if name in ("F8", "F22"):  # these use Debian's server
        needed("redis-server")
    result = fault_run.run_one(find(name), fault_run.RunOptions(seed=3, times=times))
    if result.findings is None and (os.geteuid() != 0 or "CI" not in os.environ):
        pytest.skip(fault_report.notes(result))
    print("\n" + fault_report.line(result))  # noqa: T201 - figures
    assert result.findings is not None, fault_report.line(result)
    assert result.is_clean, fault_report.line(result)
