"""accepted = applied + late + dead + lost + pending, whatever has been trimmed, moved or spoilt."""

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
from tributary.store.stream import Appending, Frame, append

STREAM, META = keys.readings(0), keys.meta(0)
Run = Callable[..., Process]


@pytest.fixture
def one(change: Callable[..., Settings]) -> Settings:
    """One partition, so that every entry goes to the same stream."""
    return change(partitions=1)


def account(client: redis.Redis, settings: Settings) -> Partition:
    """The account of the partition, found to add up."""
    found = status.read(client, settings)
    assert_adds_up(found)
    (partition,) = found.partitions
    return partition


def group(client: redis.Redis) -> None:
    scripts.run(client, scripts.ensure_group(0, new_epoch="e1"))


def settled(client: redis.Redis, settings: Settings) -> Partition:
    """The account once an aggregator has drained the stream."""
    return wait_until(
        lambda: (a := account(client, settings)).pending == 0 and a, "nothing to be pending"
    )


def test_an_empty_server_has_an_account(client: redis.Redis, one: Settings):
    found = account(client, one)
    assert found.accepted == found.lost == found.lag_s == 0
    assert status.read(client, one).lag_entries == 0


def test_what_nobody_has_read_is_pending(client: redis.Redis, one: Settings):
    post(client, 0, 3, 2)
    found = account(client, one)
    assert (found.accepted, found.pending, found.lost) == (5, 5, 0)
    assert found.entries.pending == 2
    assert found.stream_entries == 2


def test_lag_is_the_age_of_the_oldest_entry_that_is_not_accounted_for(
    client: redis.Redis, one: Settings
):
    old_ms = client.time()[0] * 1000 - 90_000
    client.hset(META, mapping={"entries": 1, "accepted": 1})
    fields = {"e": 1, "n": 1, "r": frame.pack([Block("car", 1, {"m": 1.0})])}
    client.xadd(STREAM, fields, id=f"{old_ms}-0")
    post(client, 0, 1)
    assert 90 <= account(client, one).lag_s < 120


@pytest.mark.parametrize("kept", [2, 1, 0])
def test_loss_in_a_partition_nobody_owns_shows_at_once_and_exactly(
    client: redis.Redis, one: Settings, kept: int
):
    sizes = (3, 2, 4, 1)
    post(client, 0, *sizes)
    client.xtrim(STREAM, maxlen=kept, approximate=False)
    found = account(client, one)
    assert found.missing == sum(sizes[: 4 - kept])
    assert found.entries.missing == 4 - kept
    assert (found.pending, found.lost) == (10, 0)


def test_loss_that_shows_is_the_loss_an_aggregator_then_counts(
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


def test_a_deleted_stream_is_missing_and_then_lost(client: redis.Redis, one: Settings, run: Run):
    post(client, 0, 3, 2)
    client.delete(STREAM)
    assert account(client, one).missing == 5
    run("aggregator", environ=pipeline.environ(one))
    assert settled(client, one).lost == 5


def test_what_is_trimmed_while_a_dead_worker_holds_it_is_missing_and_then_lost(
    client: redis.Redis, one: Settings, run: Run
):
    """The crash between trim and take-over: the dead worker has read, but not committed."""
    post(client, 0, 3, 2, 4)
    group(client)
    client.xreadgroup(keys.GROUP, "dead", {STREAM: ">"}, 2)
    client.xtrim(STREAM, maxlen=1, approximate=False)
    found = account(client, one)
    assert (found.lost, found.missing, found.pending) == (0, 5, 9)
    run("aggregator", environ=pipeline.environ(one))
    found = settled(client, one)
    assert (found.lost, found.missing, found.applied) == (5, 0, 4)
    assert found.entries.lost == 2


def test_held_entries_that_were_all_trimmed_are_counted_without_a_next_entry(
    client: redis.Redis, one: Settings, run: Run
):
    post(client, 0, 3, 2)
    group(client)
    client.xreadgroup(keys.GROUP, "dead", {STREAM: ">"}, 1)
    client.xtrim(STREAM, maxlen=0, approximate=False)
    assert account(client, one).missing == 5
    run("aggregator", environ=pipeline.environ(one))
    found = settled(client, one)
    assert (found.lost, found.applied, found.entries.lost) == (5, 0, 2)


def test_what_a_sleeping_owner_holds_is_missing_and_no_loss_if_it_wakes(
    client: redis.Redis, one: Settings, run: Run
):
    """It has in memory, or in its socket, what the stream has dropped meanwhile."""
    aggregator = run("aggregator", environ=pipeline.environ(one))
    held = posted = 0
    while not held:  # unless its blocking read ran out just now
        wait_until(lambda: client.info("clients")["blocked_clients"], "a reader that waits")
        with stopped(aggregator):
            post(client, 0, 2)
            posted += 2
            held = client.xpending(STREAM, keys.GROUP)["pending"]
            if held:
                client.xtrim(STREAM, maxlen=0, approximate=False)
                found = account(client, one)
                assert (found.missing, found.pending, found.lost) == (2, 2, 0)
    found = settled(client, one)
    assert (found.applied, found.lost) == (posted, 0)


def test_entries_that_are_held_and_readable_are_not_missing(client: redis.Redis, one: Settings):
    post(client, 0, 3, 2, 4)
    group(client)
    client.xtrim(STREAM, maxlen=2, approximate=False)
    client.xreadgroup(keys.GROUP, "w", {STREAM: ">"}, 1)
    found = account(client, one)
    assert (found.lost, found.missing, found.pending) == (0, 3, 9)


def test_a_destroyed_group_leaves_the_account_as_it_was(client: redis.Redis, one: Settings):
    post(client, 0, 3, 2)
    group(client)
    client.xreadgroup(keys.GROUP, "w", {STREAM: ">"}, 2)
    client.xgroup_destroy(STREAM, keys.GROUP)
    assert account(client, one).pending == 5


def test_strangers_and_spoilt_frames_are_dead_and_hide_no_loss(
    client: redis.Redis, one: Settings, run: Run
):
    client.xadd(STREAM, {"hello": "there"})
    post(client, 0, 3)
    post(client, 0, 1, packed=b"\xc1 no frame")
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


def test_what_was_refused_is_told_and_no_part_of_the_sum(
    client: redis.Redis, change: Callable[..., Settings]
):
    settings = change(partitions=1, stream_max_entries=100)
    post(client, 0, *[1] * 90)
    with pytest.raises(BacklogFull):
        append(client, Appending(settings), [Frame(0, 7, b"")])
    found = account(client, settings)
    assert (found.refused, found.accepted) == (7, 90)
