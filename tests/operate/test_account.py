"""accepted = applied + late + dead + lost + pending, even after trimming and with bad frames."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
import redis
from support import pipeline
from support.account import assert_adds_up, post
from support.processes import Process, stopped
from support.waiting import wait_until

from tributary.errors import BacklogFull
from tributary.model import frame
from tributary.model.frame import Block
from tributary.operate import status
from tributary.operate.status import Partition
from tributary.settings import Settings
from tributary.store import keys, scripts
from tributary.store.stream import Appender, Frame, append

STREAM, META = keys.readings(0), keys.meta(0)
Run = Callable[..., Process]


@pytest.fixture
def one(change: Callable[..., Settings]) -> Settings:
    """Settings with one partition, so that all entries are in one stream."""
    return change(partitions=1)


def account(client: redis.Redis, settings: Settings) -> Partition:
    """The counts of the partition, which must add up."""
    found = status.read(client, settings)
    assert_adds_up(found)
    (partition,) = found.partitions
    return partition


def group(client: redis.Redis) -> None:
    scripts.run(client, scripts.begin_tenure(0, new_epoch="e1"))


def settled(client: redis.Redis, settings: Settings) -> Partition:
    """The counts after an aggregator has drained the stream."""
    return wait_until(
        lambda: (a := account(client, settings)).pending == 0 and a, "nothing to be pending"
    )


def test_an_empty_server_has_counts_of_zero(client: redis.Redis, one: Settings):
    found = account(client, one)
    assert found.accepted == found.lost == found.lag_s == 0
    assert status.read(client, one).lag_entries == 0


def test_unread_entries_are_pending(client: redis.Redis, one: Settings):
    post(client, 0, 3, 2)
    found = account(client, one)
    assert (found.accepted, found.pending, found.lost) == (5, 5, 0)
    assert found.entries.pending == 2
    assert found.stream_entries == 2


def test_lag_is_the_age_of_the_oldest_pending_entry(client: redis.Redis, one: Settings):
    old_ms = client.time()[0] * 1000 - 90_000
    client.hset(META, mapping={"entries": 1, "accepted": 1})
    fields = {"e": 1, "n": 1, "r": frame.pack([Block("car", 1, {"m": 1.0})])}
    client.xadd(STREAM, fields, id=f"{old_ms}-0")
    post(client, 0, 1)
    assert 90 <= account(client, one).lag_s < 120


@pytest.mark.parametrize("kept", [2, 1, 0])
def test_trimmed_entries_are_missing_at_once_without_an_aggregator(
    client: redis.Redis, one: Settings, kept: int
):
    sizes = (3, 2, 4, 1)
    post(client, 0, *sizes)
    client.xtrim(STREAM, maxlen=kept, approximate=False)
    found = account(client, one)
    assert found.missing == sum(sizes[: 4 - kept])
    assert found.entries.missing == 4 - kept
    assert (found.pending, found.lost) == (10, 0)


def test_an_aggregator_counts_missing_readings_as_lost(
    client: redis.Redis, one: Settings, run: Run
):
    post(client, 0, 3, 2, 4)
    client.xtrim(STREAM, maxlen=1, approximate=False)
    before = account(client, one)
    run("aggregator", environ=pipeline.environ(one))
    after = settled(client, one)
    assert before.missing == after.lost == 5
    assert before.entries.missing == after.entries.lost == 2
    assert (after.applied, after.missing) == (4, 0)


def test_readings_of_a_deleted_stream_are_missing_then_lost(
    client: redis.Redis, one: Settings, run: Run
):
    post(client, 0, 3, 2)
    client.delete(STREAM)
    assert account(client, one).missing == 5
    run("aggregator", environ=pipeline.environ(one))
    assert settled(client, one).lost == 5


def test_entries_trimmed_while_a_dead_aggregator_holds_them_are_missing_then_lost(
    client: redis.Redis, one: Settings, run: Run
):
    """The dead aggregator has read the entries but not committed them."""
    post(client, 0, 3, 2, 4)
    group(client)
    client.xreadgroup(keys.GROUP, "dead", {STREAM: ">"}, 2, noack=True)
    client.xtrim(STREAM, maxlen=1, approximate=False)
    found = account(client, one)
    assert (found.lost, found.missing, found.pending) == (0, 5, 9)
    run("aggregator", environ=pipeline.environ(one))
    found = settled(client, one)
    assert (found.lost, found.missing, found.applied) == (5, 0, 4)
    assert found.entries.lost == 2


def test_counts_held_entries_as_lost_when_the_stream_is_empty(
    client: redis.Redis, one: Settings, run: Run
):
    post(client, 0, 3, 2)
    group(client)
    client.xreadgroup(keys.GROUP, "dead", {STREAM: ">"}, 1, noack=True)
    client.xtrim(STREAM, maxlen=0, approximate=False)
    assert account(client, one).missing == 5
    run("aggregator", environ=pipeline.environ(one))
    found = settled(client, one)
    assert (found.lost, found.applied, found.entries.lost) == (5, 0, 2)


def test_entries_held_by_a_stopped_aggregator_are_missing_but_not_lost_once_it_resumes(
    client: redis.Redis, one: Settings, run: Run
):
    """It has the trimmed entries in memory or in its socket."""
    aggregator = run("aggregator", environ=pipeline.environ(one))
    held, posted = False, 0
    while not held:  # until its blocking read is not about to time out
        wait_until(lambda: client.info("clients")["blocked_clients"], "a blocked reader")
        with stopped(aggregator):
            post(client, 0, 2)
            posted += 2
            (group,) = client.xinfo_groups(STREAM)
            held = group["last-delivered-id"] == client.xrevrange(STREAM, count=1)[0][0]
            if held:
                client.xtrim(STREAM, maxlen=0, approximate=False)
                found = account(client, one)
                assert (found.missing, found.pending, found.lost) == (2, 2, 0)
    found = settled(client, one)
    assert (found.applied, found.lost) == (posted, 0)


def test_entries_that_are_held_and_still_in_the_stream_are_not_missing(
    client: redis.Redis, one: Settings
):
    post(client, 0, 3, 2, 4)
    group(client)
    client.xtrim(STREAM, maxlen=2, approximate=False)
    client.xreadgroup(keys.GROUP, "w", {STREAM: ">"}, 1, noack=True)
    found = account(client, one)
    assert (found.lost, found.missing, found.pending) == (0, 3, 9)


def test_destroying_the_group_does_not_change_the_counts(client: redis.Redis, one: Settings):
    post(client, 0, 3, 2)
    group(client)
    client.xreadgroup(keys.GROUP, "w", {STREAM: ">"}, 2, noack=True)
    client.xgroup_destroy(STREAM, keys.GROUP)
    assert account(client, one).pending == 5


def test_foreign_entries_and_bad_frames_are_dead_and_do_not_hide_lost_ones(
    client: redis.Redis, one: Settings, run: Run
):
    client.xadd(STREAM, {"hello": "there"})
    post(client, 0, 3)
    post(client, 0, 1, packed=b"\xc1 bad frame")
    post(client, 0, 2)
    first = client.xrange(STREAM)[1][0]
    client.xdel(STREAM, first)
    before = account(client, one)
    assert before.missing == 3
    run("aggregator", environ=pipeline.environ(one))
    found = settled(client, one)
    assert (found.lost, found.dead, found.applied) == (3, 2, 2)
    entries = {"accepted": 4, "applied": 1, "dead": 2, "lost": 1, "pending": 0, "missing": 0}
    assert msgspec.structs.asdict(found.entries) == {**entries, "replayed": 0}


def test_rejected_readings_are_counted_outside_of_the_sum(
    client: redis.Redis, change: Callable[..., Settings]
):
    settings = change(partitions=1, stream_max_entries=100)
    post(client, 0, *[1] * 90)
    with pytest.raises(BacklogFull):
        append(client, Appender(settings), [Frame(0, 7, b"")])
    found = account(client, settings)
    assert (found.refused, found.accepted) == (7, 90)
