"""What was admitted and is not applied yet takes room once, however long that lasts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from ingest.batch import Batch
from ingest.caps import Caps
from ingest.newcomers import Newcomers
from ingest.unapplied import Unapplied
from tributary.errors import Refused
from tributary.model.frame import Block
from tributary.settings import Settings
from tributary.store import keys

PARTITIONS = 4
Change = Callable[..., Settings]


def reading(device: str) -> Batch:
    partition = keys.partition_of(device, PARTITIONS)
    return Batch({partition: [Block(device, 1, {"m": 1.0})]}, 1, is_batch=False)


def admit(caps: Caps, device: str) -> None:
    """A reading of a device that Redis does not know."""
    lookup = caps.lookup(reading(device), None)
    assert lookup is not None
    caps.settle(reading(device), lookup, [[None], [None]])


def store(client: redis.Redis, device: str) -> None:
    partition = keys.partition_of(device, PARTITIONS)
    client.hset(keys.state(partition), keys.series(device, "m"), b"state")
    client.zadd(keys.devices(partition), {device: 1})


def backlog(client: redis.Redis, entries: int, done: int) -> None:
    for partition in range(PARTITIONS):
        client.hset(keys.meta(partition), mapping={"entries": entries, "done_entries": done})


def test_with_a_steady_lag_what_is_applied_is_counted_once(change: Change, client: redis.Redis):
    caps, lag_s = Caps(change(partitions=PARTITIONS, series_max=20)), 3
    for second in range(18):
        caps.refresh(client)
        admit(caps, f"d-{second}")
        backlog(client, entries=second + 1, done=max(0, second + 1 - lag_s))
        if second >= lag_s:
            store(client, f"d-{second - lag_s}")


def test_after_a_start_with_a_lag_what_exists_takes_no_room(change: Change, client: redis.Redis):
    for n in range(6):
        store(client, f"d-{n}")
    backlog(client, entries=100, done=50)
    caps, newcomers = Caps(change(partitions=PARTITIONS, series_max=10)), Newcomers(0)
    caps.refresh(client)
    for n in range(3):  # to this process they are new
        joined = newcomers.admit(reading(f"d-{n}"), "", 50.0)
        assert joined is not None
        caps.join(joined)
    assert caps.is_near
    caps.refresh(client)
    assert not caps.is_near
    for n in range(4):
        admit(caps, f"new-{n}")
    with pytest.raises(Refused, match="no more series"):
        admit(caps, "new-4")


def test_what_an_ended_process_admitted_is_known_when_it_is_applied(
    change: Change, client: redis.Redis
):
    settings = change(partitions=PARTITIONS, series_max=10)
    before, after = Caps(settings), Caps(settings)
    for n in range(10):
        admit(before, f"d-{n}")
    backlog(client, entries=10, done=0)
    after.refresh(client)
    admit(after, "not-known-to-be-too-many")
    for n in range(10):
        store(client, f"d-{n}")
    backlog(client, entries=10, done=10)
    after.refresh(client)
    with pytest.raises(Refused, match="no more series"):
        admit(after, "one-more")


def test_what_is_on_its_way_is_not_forgotten():
    admitted = Unapplied()
    admitted.add(3, 1)
    for entries, held in (((10, 10), 3), ((12, 10), 3), ((13, 11), 3), ((13, 12), 0)):
        admitted.end_second([entries])
        assert (admitted.series, admitted.devices) == (held, held // 3)


def test_an_emptied_redis_frees_all_room():
    admitted = Unapplied()
    admitted.add(3, 1)
    for entries in ((10, 5), (10, 5), (0, 0)):
        admitted.end_second([entries])
    assert admitted.series == 0


def test_a_long_backlog_is_bounded_and_nothing_of_it_is_lost():
    admitted = Unapplied()
    for second in range(2000):
        admitted.add(1, 1)
        admitted.end_second([(second + 1, 0)])
    assert admitted.series == admitted.devices == 2000
    assert len(admitted._seconds) <= 600
