"""Series that were admitted but are not applied yet count once against a cap."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from ingest.batch import Batch
from ingest.caps import Caps
from ingest.new_series import NewSeriesRate
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
    """Admit a reading of a device that does not exist in Redis."""
    lookup = caps.lookup(reading(device), None)
    assert lookup is not None
    caps.settle(reading(device), lookup, [[None], [None], [None]])


def store(client: redis.Redis, device: str) -> None:
    partition = keys.partition_of(device, PARTITIONS)
    key = keys.rows if device.endswith(("0", "2")) else keys.state  # of either format
    client.hset(key(partition), keys.series(device, "m"), b"0")
    client.zadd(keys.devices(partition), {device: 1})


def backlog(client: redis.Redis, entries: int, done: int) -> None:
    for partition in range(PARTITIONS):
        client.hset(keys.meta(partition), mapping={"entries": entries, "done_entries": done})


def test_counts_each_series_once_with_a_steady_lag(change: Change, client: redis.Redis):
    caps, lag_s = Caps(change(partitions=PARTITIONS, series_max=20)), 3
    for second in range(18):
        caps.refresh(client)
        admit(caps, f"d-{second}")
        backlog(client, entries=second + 1, done=max(0, second + 1 - lag_s))
        if second >= lag_s:
            store(client, f"d-{second - lag_s}")


def test_existing_series_take_no_room_after_a_restart(change: Change, client: redis.Redis):
    for n in range(6):
        store(client, f"d-{n}")
    backlog(client, entries=100, done=50)
    caps, rate = Caps(change(partitions=PARTITIONS, series_max=10)), NewSeriesRate(0)
    caps.refresh(client)
    for n in range(3):  # new to this process
        new = rate.admit(reading(f"d-{n}"), "", 50.0)
        assert new is not None
        caps.add(new)
    assert caps.is_near
    caps.refresh(client)
    assert not caps.is_near
    for n in range(4):
        admit(caps, f"new-{n}")
    with pytest.raises(Refused, match="no more series"):
        admit(caps, "new-4")


def test_learns_what_another_process_admitted_when_it_is_applied(
    change: Change, client: redis.Redis
):
    settings = change(partitions=PARTITIONS, series_max=10)
    before, after = Caps(settings), Caps(settings)
    for n in range(10):
        admit(before, f"d-{n}")
    backlog(client, entries=10, done=0)
    after.refresh(client)
    admit(after, "one-too-many")
    for n in range(10):
        store(client, f"d-{n}")
    backlog(client, entries=10, done=10)
    after.refresh(client)
    with pytest.raises(Refused, match="no more series"):
        admit(after, "one-more")


def test_keeps_counting_what_is_in_flight():
    unapplied = Unapplied()
    unapplied.add(3, 1)
    for entries, held in (((10, 10), 3), ((12, 10), 3), ((13, 11), 3), ((13, 12), 0)):
        unapplied.end_second([entries])
        assert (unapplied.series, unapplied.devices) == (held, held // 3)


def test_emptying_redis_frees_all_room():
    unapplied = Unapplied()
    unapplied.add(3, 1)
    for entries in ((10, 5), (10, 5), (0, 0)):
        unapplied.end_second([entries])
    assert unapplied.series == 0


def test_a_long_backlog_is_bounded_and_loses_no_count():
    unapplied = Unapplied()
    for second in range(2000):
        unapplied.add(1, 1)
        unapplied.end_second([(second + 1, 0)])
    assert unapplied.series == unapplied.devices == 2000
    assert len(unapplied._seconds) <= 600
