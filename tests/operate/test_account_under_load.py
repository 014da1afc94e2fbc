"""The counts add up in every snapshot under load, kills and trims."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import redis
from support import folding, pipeline
from support.account import assert_adds_up
from support.pipeline import Aggregators, Load
from support.processes import Process
from support.waiting import wait_until

from tributary.operate import status
from tributary.operate.status import Status
from tributary.settings import Settings
from tributary.store import keys

READINGS = 20_000
SNAPSHOTS_PER_TRIM = 30
COUNTERS = ("accepted", "applied", "late", "dead", "lost", "refused")


def test_every_snapshot_adds_up_and_no_counter_decreases(
    client: redis.Redis,
    change: Callable[..., Settings],
    run: Callable[..., Process],
    tmp_path: Path,
):
    seed = random.randrange(1 << 32)
    generator = random.Random(seed)
    settings = change(partitions=4, stream_max_entries=10_000_000)
    url = pipeline.ingest(run, settings)
    aggregators = Aggregators(run, settings, count=2, seed=seed)
    load = Load(url, tmp_path / "ledger.jsonl", readings=READINGS, seed=seed)
    before: Status | None = None
    snapshots = kills = 0
    while load.ledger.counts["ok"] < READINGS:
        before = snapshot(client, settings, before, f"seed {seed}")
        snapshots += 1
        if snapshots % SNAPSHOTS_PER_TRIM == 0:
            client.xtrim(keys.readings(generator.randrange(4)), maxlen=0, approximate=False)
            if kills < load.ledger.counts["ok"] // 2000:
                aggregators.kill_one()
                kills += 1
    load.close()
    aggregators.add_lasting_one()

    def drained() -> bool:
        nonlocal before
        before = snapshot(client, settings, before, f"seed {seed}")
        return bool(before.pending == 0)

    wait_until(drained, "nothing to be pending", 60)
    print(f"\nseed {seed}; {snapshots} snapshots, {kills} kills; {before.lost} lost")  # noqa: T201
    assert load.ledger.counts["ok"] == before.accepted
    assert before.applied == counted(client, settings)
    assert before.lost == before.accepted - counted(client, settings)


def snapshot(client: redis.Redis, settings: Settings, before: Status | None, seed: str) -> Status:
    """A status that adds up, and whose counters have not decreased since the one before."""
    found = status.read(client, settings)
    assert_adds_up(found)
    for now, then in zip(found.partitions, before.partitions if before else (), strict=False):
        for name in COUNTERS:
            assert getattr(now, name) >= getattr(then, name), (
                f"{seed}: {name} of {then} decreased: {now}"
            )
    return found


def counted(client: redis.Redis, settings: Settings) -> int:
    """The readings in the aggregates."""
    found = (folding.states(client, settings, p).values() for p in range(settings.partitions))
    return sum(int(state["count"]) for states in found for state in states)
