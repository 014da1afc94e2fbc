"""Turns are bounded, and entries that are too large are applied in slices, exactly once."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
import redis
from support import folding
from support.pipeline import environ
from support.processes import Process
from support.waiting import wait_until

from aggregator import pace
from aggregator.account import Counts, Progress, sort_out
from aggregator.changes import Changes
from aggregator.cycle import Cycle
from aggregator.decode import Entry
from aggregator.large import Large
from aggregator.pace import Pace, Share
from aggregator.tenure import Tenure
from tributary.model.frame import Block, pack
from tributary.operate import status
from tributary.settings import Settings
from tributary.store import keys, redis_client

START_MS = 1_700_000_000_000
METRICS = 16


def wide(devices: int, name: str = "car") -> list[Block]:
    """One reading of many metrics from each of many devices."""
    metrics = {f"m{n}": float(n) for n in range(METRICS)}
    return [Block(f"{name}-{n}", START_MS + n, dict(metrics)) for n in range(devices)]


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """Of each commit: partition, series written, entries acknowledged."""
    seen: list[tuple[int, int, int]] = []
    send = Tenure.commit_part

    def watched(self: Tenure, change: Changes) -> None:
        series = len(change.writes.rows) // 2
        seen.append((self.partition, series, len(change.ids)))
        send(self, change)

    monkeypatch.setattr(Tenure, "commit_part", watched)
    return seen


@pytest.mark.parametrize("entries", [1, 30])
def test_new_series_are_committed_in_bounded_parts(
    change: Callable[..., Settings],
    client: redis.Redis,
    commits: list[tuple[int, int, int]],
    monkeypatch: pytest.MonkeyPatch,
    entries: int,
):
    monkeypatch.setattr(pace, "NEW_SERIES_MAX", 512)
    settings = change(partitions=2)
    blocks = wide(1500)
    for first in range(0, 1500, 1500 // entries):
        packed = pack(blocks[first : first + 1500 // entries])
        folding.append_packed(client, 0, packed, 1500 // entries)
    other = next(f"d{n}" for n in range(9) if keys.partition_of(f"d{n}", 2) == 1)
    folding.append(client, settings, [Block(other, START_MS, {"m": 1.0})])
    folding.aggregate(settings, client)
    assert max(series for _, series, _ in commits) <= 512 * 2
    turns_before = [partition for partition, _, _ in commits].index(1)
    assert turns_before < 3, "a small partition waited for a large one"
    assert sum(acknowledged for _, _, acknowledged in commits) == entries + 1
    found = status.read(client, settings)
    assert (found.applied, found.pending, found.lost, found.dead) == (1501, 0, 0, 0)
    states = folding.states(client, settings, 0).values()
    assert [int(state["count"]) for state in states] == [1] * 1500 * METRICS


@pytest.mark.sample
@pytest.mark.kills
def test_a_worker_killed_within_a_large_entry_continues_from_its_progress(
    change: Callable[..., Settings], client: redis.Redis, run: Callable[..., Process]
):
    settings = change(partitions=1)
    redis_client.prepare(client, settings)
    folding.append(client, settings, wide(6000))
    reached: list[int] = []
    for deaths in (2, 3, 1):
        dying = run("aggregator", environ=environ(settings, f"after_commit:{deaths}"))
        wait_until(lambda dying=dying: dying.popen.poll() is not None, "it to exit", 60)
        progress = Progress.parse(client.hget(keys.meta(0), "progress"))
        assert progress is not None
        reached.append(progress.readings)
    assert reached == sorted(set(reached)), "a slice was applied again"
    assert reached[-1] < 6000
    folding.aggregate(settings, client)
    states = folding.states(client, settings, 0).values()
    assert [int(state["count"]) for state in states] == [1] * 6000 * METRICS
    assert status.read(client, settings).applied == 6000


def entry(blocks: list[Block], readings: int, number: int = 1) -> Entry:
    return b"5-1", [b"e", b"%d" % number, b"n", b"%d" % readings, b"r", pack(blocks)]


def column(devices: list[str] | str, count: int, *metrics: str) -> Block:
    times = struct.pack(f"<{count}q", *range(count))
    values = struct.pack(f"<{count}d", *map(float, range(count)))
    return Block(devices, times, dict.fromkeys(metrics, values))


@pytest.mark.parametrize("bytes_max", [1, 300, 1000, 10_000])
def test_slices_contain_every_reading_once_and_in_order(bytes_max: int):
    blocks = [
        Block("a", 1, {"m": 1.0, "n": 2.0}),
        column("b", 50, "m", "n"),
        column([f"c{n}" for n in range(40)], 40, "m"),
        *(Block("d", n, {"m": float(n)}) for n in range(20)),
    ]
    given = entry(blocks, 111)
    whole = sort_out([given], Counts())
    large = Large(given, None, whole.counts.with_begun(111))
    found: list[tuple[str, str, int, float]] = []
    readings, counts = 0, Counts()
    while True:
        piece = large.next(bytes_max, counts)
        assert piece.columns is not None
        names = [s for s, n in zip(piece.columns.series, piece.columns.repeats, strict=True)
                 for _ in range(n)]  # fmt: skip
        values = zip(names, piece.columns.times_ms, piece.columns.values, strict=True)
        found += [(*name, int(at), float(value)) for name, at, value in values]
        readings += piece.columns.readings
        counts = piece.counts
        assert (counts.applied, counts.begun, counts.done) == (readings, 111 - readings, 111)
        if piece.progress is None:
            break
        assert piece.ids == []
        assert piece.progress.readings == readings
        large.committed(piece.progress)
    assert piece.ids == [b"5-1"]
    assert piece.counts == whole.counts
    assert readings == 111
    names = [s for s, n in zip(whole.columns.series, whole.columns.repeats, strict=True)
             for _ in range(n)]  # fmt: skip
    values = zip(names, whole.columns.times_ms, whole.columns.values, strict=True)
    assert sorted(found) == sorted((*name, int(at), float(value)) for name, at, value in values)


def test_late_readings_of_slices_are_counted_once(
    change: Callable[..., Settings], client: redis.Redis, monkeypatch: pytest.MonkeyPatch
):
    day_ms = 86_400_000
    blocks = [
        Block("d", START_MS + (10 * day_ms if n == 0 else n), {"m": 1.0, "n": 2.0})
        for n in range(500)
    ]
    counts = []
    for values_max in (64, 65_536):
        monkeypatch.setattr(pace, "VALUES_MAX", values_max * 8)
        client.flushall()
        settings = change(partitions=1)
        folding.append(client, settings, blocks)
        folding.aggregate(settings, client)
        found = status.read(client, settings)
        counts.append((found.applied, found.late, found.pending))
    assert counts == [(1, 499, 0)] * 2


def test_a_share_is_an_equal_part_of_what_is_left():
    share = Share(1000, 100, 50)
    assert share.share(4) == (250, 25, 12)
    assert share.less(2000, 40, 0) == (0, 60, 50)
    assert share.excess(100, 50) == 1
    assert share.excess(100, 500) == 10


def test_the_pace_halves_when_slow_and_grows_back_when_turns_are_fast_and_full():
    turns = Pace()
    before = turns.values_max
    turns.took(pace.SLOW_S * 2, 1)
    assert turns.values_max == before // 2
    turns.took(pace.FAST_S / 2, 1)
    assert turns.values_max == before // 2, "it was not full, so a larger turn may be slow"
    for _ in range(100):
        turns.took(pace.FAST_S / 2, turns.values_max)
    assert turns.values_max == pace.VALUES_MAX
    for _ in range(100):
        turns.halve()
    assert turns.values_max == pace.VALUES_MIN


def test_the_table_exceeds_its_limit_by_at_most_one_turn(
    change: Callable[..., Settings], client: redis.Redis, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pace, "NEW_SERIES_MAX", 256)
    sizes: list[int] = []
    turn = Cycle._turn

    async def watched(self: Cycle) -> None:
        await turn(self)
        sizes.append(len(self._table.series))

    monkeypatch.setattr(Cycle, "_turn", watched)
    settings = change(partitions=1, series_cached_max=1000)
    folding.append(client, settings, wide(1000))
    folding.aggregate(settings, client)
    assert max(sizes) == 1000
