"""Every acknowledged reading counts once, whichever processes are killed."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from support import pipeline
from support.pipeline import Aggregators, Load
from support.processes import Process, Server

from tributary.settings import Settings

READINGS = 100_000
KILLS = 50


@pytest.mark.sample
@pytest.mark.kills
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_100000_readings_survive_50_kills(
    own_server: Callable[..., Server], run: Callable[..., Process], tmp_path: Path
):
    seed = random.randrange(1 << 32)
    settings = Settings(redis_url=own_server().url, heartbeat_ms=100, stream_max_entries=10_000_000)
    # Each HTTP worker exits after this many requests, with the last one stored but not responded to.
    url = pipeline.ingest(run, settings, fail="after_append:2000")
    aggregators = Aggregators(run, settings, count=3, seed=seed)
    load = Load(url, tmp_path / "ledger.jsonl", readings=READINGS, seed=seed)
    for kill in range(1, KILLS + 1):
        load.wait_for(READINGS * kill // (KILLS + 1))
        aggregators.kill_one()
    aggregators.add_lasting_one()
    verdict = load.verdict(settings)
    load.close()
    print(f"\nseed {seed}; deaths {dict(aggregators.deaths)}; {verdict}")  # noqa: T201 - figures
    assert verdict.is_clean, f"seed {seed}: {verdict}"
    assert verdict.acknowledged == READINGS
    assert aggregators.deaths.total() == KILLS
