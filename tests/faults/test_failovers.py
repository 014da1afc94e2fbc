"""One failover of a cluster: every level reports what it loses."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support.programs import needed

from faults import events, master_events
from faults.failover_load import Level
from faults.failovers import Options, run_failover

pytestmark = pytest.mark.kills


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    # `scripts/chaos failover` runs every level, also with a healthy replica.
    ("level", "lag_ms"),
    [("aof", 1000), ("replicated", 1500)],
)
def test_a_failover_reports_every_loss_and_counts_nothing_twice(
    tmp_path: Path, level: Level, lag_ms: int
):
    needed("redis-server")
    seed = random.SystemRandom().randrange(1 << 16)
    outcome = run_failover(tmp_path, Options(level, lag_ms, seed, load_s=2.0))
    print(f"\nseed {seed}: {outcome}")  # noqa: T201 - figures
    assert not outcome.violations, (seed, outcome)
    assert outcome.duplicated == 0, (seed, outcome)
    assert outcome.lost <= outcome.reported_lost, (seed, outcome)
    if lag_ms and level == "aof":
        assert outcome.lost > 0, (seed, outcome)  # or else the replica did not lag
    if level == "replicated":
        assert outcome.lost == outcome.reported_lost == 0, (seed, outcome)
        assert bool(lag_ms) == bool(outcome.responses_503), (seed, outcome)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("event", ["killed", "cut-off", "cluster-paused", "moved"])
def test_a_change_of_the_master_loses_nothing_that_replicas_have(
    tmp_path: Path, event: events.Event
):
    """`scripts/chaos failover-events` has every event, and the levels that may lose readings."""
    needed("redis-server")
    seed = random.SystemRandom().randrange(1 << 16)
    options = events.Options(event, "replicated", rounds=1, seed=seed)
    outcome = master_events.run_events(tmp_path, options)
    print(f"\nseed {seed}: {outcome}")  # noqa: T201 - figures
    assert not outcome.violations, (seed, outcome)
    assert outcome.lost == outcome.reported_lost == outcome.duplicated == 0, (seed, outcome)
