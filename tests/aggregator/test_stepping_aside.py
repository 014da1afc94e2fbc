"""An entry with many new series steps aside; the entries behind it do not wait, and count once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis
from support import folding
from support.pipeline import environ
from support.processes import Process
from support.waiting import wait_until

from aggregator import pace, together
from aggregator.changes import Changes
from aggregator.fold import Folded, fold
from aggregator.overflow import Horizon
from aggregator.tenure import Tenure
from tributary.model.aggregate import Layout, Records
from tributary.model.frame import Block
from tributary.model.groups import Readings
from tributary.operate import status
from tributary.settings import Settings
from tributary.store import keys, redis_client

START_MS = 1_700_000_000_000
METRICS = 16
POISON = 666.0


def wide(devices: int, name: str = "car") -> list[Block]:
    """One reading of many metrics from each of many devices."""
    metrics = {f"m{n}": float(n) for n in range(METRICS)}
    return [Block(f"{name}-{n}", START_MS + n, dict(metrics)) for n in range(devices)]


def known(number: int) -> list[Block]:
    return [Block("known", START_MS + number, {"m": float(number)})]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit turns to a few new series."""
    monkeypatch.setattr(pace, "NEW_SERIES_MAX", 1024)


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Of each commit: entries acknowledged, readings of a begun entry that are still pending."""
    seen: list[tuple[int, int]] = []
    send = Tenure.commit_part

    def watched(self: Tenure, change: Changes) -> None:
        seen.append((len(change.ids), change.counts.begun))
        send(self, change)

    monkeypatch.setattr(Tenure, "commit_part", watched)
    return seen


def assert_each_counted_once(client: redis.Redis, settings: Settings, readings: int) -> None:
    found = status.read(client, settings)
    assert found.accepted == found.applied == readings
    assert (found.pending, found.lost, found.dead, found.late) == (0, 0, 0, 0)
    for partition in range(settings.partitions):
        meta = client.hgetall(keys.meta(partition))
        assert meta.get(b"progress", b"") == b""
        assert meta.get(b"begun", b"0") == meta.get(b"begun_entry", b"0") == b"0"


def counts_of(client: redis.Redis, settings: Settings, prefix: str) -> list[int]:
    found = folding.states(client, settings, 0).items()
    return [int(state["count"]) for name, state in found if name.startswith(prefix)]


@pytest.mark.usefixtures("narrow")
def test_entries_behind_a_wide_one_are_applied_before_it_is_finished(
    change: Callable[..., Settings], client: redis.Redis, commits: list[tuple[int, int]]
):
    settings = change(partitions=1)
    folding.append(client, settings, known(0))
    folding.aggregate(settings, client)
    commits.clear()
    folding.append(client, settings, wide(1000))
    for number in range(1, 6):
        folding.append(client, settings, known(number))
    folding.aggregate(settings, client)
    behind = next(at for at, (ids, _) in enumerate(commits) if ids == 5)
    assert commits[0] == (0, 1000), "the wide entry did not step aside"
    assert commits[behind][1] > 900, "what is behind the wide entry has waited for it"
    assert commits[-1] == (1, 0)
    assert_each_counted_once(client, settings, 1006)
    assert set(counts_of(client, settings, "car")) == {1}
    assert counts_of(client, settings, "known") == [6]


@pytest.mark.usefixtures("narrow")
def test_a_second_wide_entry_waits_and_known_series_before_it_do_not(
    change: Callable[..., Settings], client: redis.Redis, commits: list[tuple[int, int]]
):
    settings = change(partitions=2)
    for fleet in ("a", "b", "c"):
        blocks = [b for b in wide(600, fleet) if keys.partition_of(str(b.device), 2) == 0]
        folding.append(client, settings, blocks)
    folding.append(client, settings, known(1))
    folding.aggregate(settings, client)
    assert max(begun for _, begun in commits) < 600, "two were begun at once"
    total = sum(keys.partition_of(f"{f}-{n}", 2) == 0 for f in "abc" for n in range(600))
    assert_each_counted_once(client, settings, total + 1)


@pytest.mark.kills
@pytest.mark.parametrize("disaster", ["", "group", "entry"])
def test_a_worker_killed_while_an_entry_is_aside_loses_nothing(
    change: Callable[..., Settings], client: redis.Redis, run: Callable[..., Process], disaster: str
):
    """The next owner continues with it, even without the group; without the entry, it is lost."""
    settings = change(partitions=1)
    redis_client.prepare(client, settings)
    id_ = folding.append(client, settings, wide(6000))
    for number in range(20):
        folding.append(client, settings, known(number))
    dying = run("aggregator", environ=environ(settings, "after_commit:4"))
    wait_until(lambda: dying.popen.poll() is not None, "it to exit", 60)
    meta = client.hgetall(keys.meta(0))
    assert meta[b"begun_entry"] == b"1"
    found = status.read(client, settings)
    assert found.pending + found.applied == found.accepted == 6020
    if disaster == "group":
        client.xgroup_destroy(keys.readings(0), keys.GROUP)
    if disaster == "entry":
        client.xdel(keys.readings(0), id_)
        folding.append(client, settings, known(20))
    folding.aggregate(settings, client)
    if disaster != "entry":
        assert_each_counted_once(client, settings, 6020)
        assert set(counts_of(client, settings, "car")) == {1}
        return
    found = status.read(client, settings)
    assert (found.lost, found.pending) == (int(meta[b"begun"]), 0)
    assert found.applied + found.lost == 6021
    assert counts_of(client, settings, "known") == [21]


@pytest.mark.usefixtures("narrow")
def test_buries_only_the_bad_rest_of_an_entry_that_stepped_aside(
    change: Callable[..., Settings], client: redis.Redis, monkeypatch: pytest.MonkeyPatch
):
    def dying_aggregator(
        layout: Layout, state: Records, rings: Records, readings: Readings, horizon: Horizon
    ) -> Folded:
        folded = fold(layout, state, rings, readings, horizon)
        if POISON in readings.values:
            raise FloatingPointError("cannot stand this")
        return folded

    monkeypatch.setattr(together, "fold", dying_aggregator)
    settings = change(partitions=1)
    blocks = wide(800)
    blocks[700].metrics["m3"] = POISON
    folding.append(client, settings, blocks)
    for number in range(50):
        folding.append(client, settings, known(number))
    folding.aggregate(settings, client)
    found = status.read(client, settings)
    assert found.dead + found.applied == found.accepted == 850
    assert 100 <= found.dead < 800
    assert (found.pending, found.lost) == (0, 0)
    assert len(client.xrange(keys.dead(0))) == 1
    assert counts_of(client, settings, "known") == [50]
    assert len(counts_of(client, settings, "car")) == (800 - found.dead) * METRICS
