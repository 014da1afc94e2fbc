"""Faults in what Redis holds: groups, streams, consumers and entries that somebody has touched."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import redis
from support.processes import stopped
from support.waiting import wait_until

from faults.rig import Stand
from tributary.store import keys, scripts

# Number an entry as append does, but put bytes into it that are no frame.
_POISON = """
local e = redis.call('HINCRBY', KEYS[2], 'entries', 1)
local n = redis.call('HINCRBY', KEYS[2], 'accepted', 1)
redis.call('XADD', KEYS[1], '*', 'e', e, 'n', n, 'r', 'this is no frame')
"""


def _partitions(stand: Stand) -> list[int]:
    """Partitions whose stream exists."""
    return [p for p in range(stand.settings.partitions) if stand.client.exists(keys.readings(p))]


def destroy_groups(stand: Stand, times: int) -> None:
    """XGROUP DESTROY on every partition, under load."""
    for _ in range(times):
        stand.settle_load(stand.random.randrange(1, 100))
        for partition in _partitions(stand):
            stand.client.xgroup_destroy(keys.readings(partition), keys.GROUP)
        stand.recovers()
        stand.on_progress(1)


def delete_stream(stand: Stand, times: int) -> None:
    """DEL the stream of a partition while the aggregators sleep: what is unread is gone."""
    for _ in range(times):
        _while_asleep(stand, lambda: stand.client.delete(keys.readings(_fullest(stand))))


def trim_unread(stand: Stand, times: int) -> None:
    """XTRIM every stream to nothing while the aggregators sleep."""

    def trim() -> None:
        for partition in _partitions(stand):
            stand.client.xtrim(keys.readings(partition), maxlen=0, approximate=False)

    for _ in range(times):
        _while_asleep(stand, trim)


def flush_all(stand: Stand, times: int) -> None:
    """FLUSHALL under load: everything so far is gone, the service goes on."""
    for _ in range(times):
        stand.settle_load(200)
        stand.client.flushall()
        stand.recovers()
        stand.on_progress(1)
    reported = stand.status().lost
    stand.notes.append(f"the counters went too: {reported} reported as lost")


def fill_backlog(stand: Stand, times: int) -> None:
    """Let the aggregators sleep until the streams are full: refused, or trimmed unread."""

    def wait_full() -> None:
        before = stand.load.ledger.answers["503"]
        wait_until(
            lambda: stand.load.ledger.answers["503"] > before or _is_trimmed(stand),
            "a refusal or a loss",
            60,
        )
        stand.wait(1)
        stand.notes.append(f"{stand.load.ledger.answers['503'] - before} requests refused")

    for _ in range(times):
        _while_asleep(stand, wait_full, readings=0)


def _is_trimmed(stand: Stand) -> bool:
    """Whether a stream holds less than what is not accounted for."""
    for partition in _partitions(stand):
        numbered, done = stand.client.hmget(keys.meta(partition), "entries", "done_entries")
        if int(numbered or 0) - int(done or 0) > stand.client.xlen(keys.readings(partition)):
            return True
    return False


def race_for_groups(stand: Stand, times: int) -> None:
    """Two clients at once make sure that there is a group, again and again."""
    errors: list[Exception] = []
    starts = threading.Barrier(2)
    partition = stand.random.randrange(stand.settings.partitions)

    def race(name: str) -> None:
        client = redis.Redis.from_url(stand.server.url)
        for number in range(times):
            starts.wait(30)
            if name == "first":
                client.xgroup_destroy(keys.readings(partition), keys.GROUP)
            try:
                epoch = f"{name}:{stand.seed}:{number}"
                scripts.run(client, scripts.ensure_group(partition, new_epoch=epoch))
            except redis.RedisError as error:
                errors.append(error)
        client.close()

    runners = [threading.Thread(target=race, args=(name,)) for name in ("first", "second")]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert not errors, errors[:3]
    stand.recovers()
    stand.on_progress(times)


def leave_dead_consumers(stand: Stand, times: int) -> None:
    """Hand entries to consumers that will never come back."""
    for number in range(times):
        partition = stand.random.choice(_partitions(stand))
        stand.client.xreadgroup(
            keys.GROUP, f"dead-{number}", {keys.readings(partition): ">"}, count=5
        )
        stand.on_progress(1)
    stand.recovers()
    wait_until(lambda: not _dead_consumers(stand), "the dead consumers to be removed")
    stand.notes.append(f"all {times} dead consumers removed")


def _dead_consumers(stand: Stand) -> int:
    return sum(
        consumer["name"].startswith(b"dead-")
        for partition in _partitions(stand)
        for consumer in stand.client.xinfo_consumers(keys.readings(partition), keys.GROUP)
    )


def poison(stand: Stand, times: int) -> None:
    """Put entries into the streams that cannot be applied."""
    script = stand.client.register_script(_POISON)
    before = stand.status().dead
    for _ in range(times):
        partition = stand.random.randrange(stand.settings.partitions)
        script([keys.readings(partition), keys.meta(partition)])
        stand.on_progress(1)
    stand.recovers()
    wait_until(lambda: stand.status().dead == before + times, "the poison to be buried")
    buried = sum(stand.client.xlen(keys.dead(p)) for p in range(stand.settings.partitions))
    stand.notes.append(f"{buried} buried")


def _fullest(stand: Stand) -> int:
    """The partition with the most entries."""
    return max(_partitions(stand), key=lambda p: stand.client.xlen(keys.readings(p)))


def _while_asleep(stand: Stand, act: Callable[[], object], readings: int = 300) -> None:
    """Do something while every aggregator is stopped and so many readings have piled up."""
    stand.settle_load(100)
    with contextlib.ExitStack() as asleep:
        for aggregator in stand.aggregators:
            asleep.enter_context(stopped(aggregator))
        stand.settle_load(readings)
        act()
    stand.recovers()
    stand.on_progress(1)
