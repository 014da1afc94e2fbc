"""Faults in the data in Redis: groups, streams, consumers and entries changed from outside."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import redis
from support.waiting import wait_until

from faults.rig import Rig
from tributary.store import keys, scripts

# Number an entry as append does, but with bytes that are not a valid frame.
_APPEND_INVALID = """
local e = redis.call('HINCRBY', KEYS[2], 'entries', 1)
local n = redis.call('HINCRBY', KEYS[2], 'accepted', 1)
redis.call('XADD', KEYS[1], '*', 'e', e, 'n', n, 'r', 'not a frame')
"""


def _partitions(rig: Rig) -> list[int]:
    """Partitions whose stream exists."""
    return [p for p in range(rig.settings.partitions) if rig.client.exists(keys.readings(p))]


def destroy_groups(rig: Rig, times: int) -> None:
    """XGROUP DESTROY on every partition, under load."""
    for _ in rig.repeat(times):
        rig.wait_for_readings(rig.random.randrange(1, 100))
        for partition in _partitions(rig):
            rig.client.xgroup_destroy(keys.readings(partition), keys.GROUP)
        rig.wait_for_recovery()


def delete_stream(rig: Rig, times: int) -> None:
    """DEL the stream of a partition while the aggregators are suspended: its unread entries are lost."""
    for _ in rig.repeat(times):
        _while_suspended(rig, lambda: rig.client.delete(keys.readings(_fullest(rig))))


def trim_unread(rig: Rig, times: int) -> None:
    """XTRIM every stream to length 0 while the aggregators are suspended."""

    def trim() -> None:
        for partition in _partitions(rig):
            rig.client.xtrim(keys.readings(partition), maxlen=0, approximate=False)

    for _ in rig.repeat(times):
        _while_suspended(rig, trim)


def flush_all(rig: Rig, times: int) -> None:
    """FLUSHALL under load: all data so far is lost, the service continues."""
    for _ in rig.repeat(times):
        rig.wait_for_readings(200)
        rig.client.flushall()
        rig.wait_for_recovery()
    reported = rig.status().lost
    rig.notes.append(f"the counters were deleted too: {reported} reported as lost")


def fill_backlog(rig: Rig, times: int) -> None:
    """Suspend the aggregators until full streams refuse readings or lose unread entries."""

    def wait_full() -> None:
        before = rig.load.ledger.responses["503"]
        wait_until(
            lambda: rig.load.ledger.responses["503"] > before or _is_trimmed(rig),
            "a refusal or a loss",
            60,
        )
        rig.pause(1)
        rig.notes.append(f"{rig.load.ledger.responses['503'] - before} requests refused")

    for _ in rig.repeat(times):
        _while_suspended(rig, wait_full, readings=0)


def _is_trimmed(rig: Rig) -> bool:
    """Whether a stream holds fewer entries than are pending."""
    for partition in _partitions(rig):
        appended, done = rig.client.hmget(keys.meta(partition), "entries", "done_entries")
        if int(appended or 0) - int(done or 0) > rig.client.xlen(keys.readings(partition)):
            return True
    return False


def create_groups_concurrently(rig: Rig, times: int) -> None:
    """Have two clients ensure at the same time that a group exists."""
    errors: list[Exception] = []
    barrier = threading.Barrier(2)
    partition = rig.random.randrange(rig.settings.partitions)

    def ensure(name: str) -> None:
        client = redis.Redis.from_url(rig.server.url)
        for number in range(times):
            barrier.wait(30)
            if name == "first":
                client.xgroup_destroy(keys.readings(partition), keys.GROUP)
            try:
                epoch = f"{name}:{rig.seed}:{number}"
                scripts.run(client, scripts.begin_tenure(partition, new_epoch=epoch))
            except redis.RedisError as error:
                errors.append(error)
        client.close()

    threads = [threading.Thread(target=ensure, args=(name,)) for name in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors[:3]
    rig.wait_for_recovery()
    rig.on_progress(times)


def read_from_outside(rig: Rig, times: int) -> None:
    """Deliver entries to another consumer of the group, which applies nothing."""
    delivered = 0

    def read() -> None:
        nonlocal delivered
        for partition in _partitions(rig):
            streams: Any = {keys.readings(partition): ">"}
            reply: Any = rig.client.xreadgroup(keys.GROUP, "other", streams, 5)
            delivered += sum(len(entries) for _, entries in reply)

    for _ in rig.repeat(times):
        _while_suspended(rig, read)
    rig.notes.append(f"{delivered} entries delivered elsewhere")


def append_invalid_entries(rig: Rig, times: int) -> None:
    """Append entries that cannot be applied."""
    script = rig.client.register_script(_APPEND_INVALID)
    before = rig.status().dead
    for _ in rig.repeat(times):
        partition = rig.random.randrange(rig.settings.partitions)
        script([keys.readings(partition), keys.meta(partition)])
    rig.wait_for_recovery()
    wait_until(lambda: rig.status().dead == before + times, "the invalid entries to be buried")
    buried = sum(rig.client.xlen(keys.dead(p)) for p in range(rig.settings.partitions))
    rig.notes.append(f"{buried} buried")


def _fullest(rig: Rig) -> int:
    """The partition with the longest stream."""
    return max(_partitions(rig), key=lambda p: rig.client.xlen(keys.readings(p)))


def _while_suspended(rig: Rig, act: Callable[[], object], readings: int = 300) -> None:
    """Act while all aggregators are suspended and `readings` more were acknowledged."""
    rig.wait_for_readings(100)
    with rig.suspended_aggregators():
        rig.wait_for_readings(readings)
        act()
    rig.wait_for_recovery()
