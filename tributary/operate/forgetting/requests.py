"""Asking for devices to be forgotten, and reading what is left to do."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import redis

from tributary.errors import BacklogFull, Unavailable
from tributary.model import pattern
from tributary.operate import dead_letters
from tributary.operate.forgetting import entries, history_rows
from tributary.settings import Settings
from tributary.store import keys, scripts, stream
from tributary.store.redis_client import failures
from tributary.store.tombstone import DEVICES_MAX, Tombstone

RECORDS_MAX = 1_000  # unfinished tombstones per partition
_NAMES_PER_PAGE = 10_000


class _Latest(msgspec.Struct):
    recorded_at: str


_decode = msgspec.json.Decoder(_Latest).decode


class Left(msgspec.Struct, frozen=True):
    """Where the names may still be."""

    where: str
    reason: str


class Report(msgspec.Struct, frozen=True):
    """What is gone, and what is left."""

    request: str
    devices: int
    deleted: dict[str, int]  # what the job has deleted, at least
    checked: dict[str, int]  # where it has looked for the names without finding them
    left: list[Left]
    finished_ms: int  # UTC


def resolve(client: redis.Redis, settings: Settings, wanted: str) -> list[str]:
    """The devices that a pattern covers, sorted; a name without `*` is taken as it is.

    Those with aggregates, with entries that are not applied or dead, and with a history.
    """
    if pattern.ANY not in wanted:
        return [wanted]
    covers, prefix = pattern.compiled(wanted).fullmatch, wanted.partition(pattern.ANY)[0]
    found: set[str] = set()
    for partition in range(settings.partitions):
        found.update(filter(covers, names(client, partition, prefix)))
        for entry in _pending(client, partition):
            found.update(filter(covers, entry.readings))
        for dead in dead_letters.read(client, partition):
            found.update(filter(covers, entries.parse(b"0-0", dead.fields).readings))
    found.update(filter(covers, history_rows.devices(settings, wanted)))
    return sorted(found)


def names(client: redis.Redis, partition: int, prefix: str = "") -> Iterable[str]:
    """The devices of a partition that have aggregates, in pages."""
    first, last = b"[" + prefix.encode(), b"(" + prefix.encode() + b"\xff"
    while True:
        with failures():
            page: Any = client.zrangebylex(
                keys.devices(partition), first, last, start=0, num=_NAMES_PER_PAGE
            )
        yield from (name.decode() for name in page)
        if len(page) < _NAMES_PER_PAGE:
            return
        first = b"(" + page[-1]


def ask(client: redis.Redis, settings: Settings, devices: Sequence[str], before: str = "") -> str:
    """Append tombstones for devices; returns the id of the request.

    Args:
        client: of the deployment.
        settings: with the partitions of the data.
        devices: their names.
        before: RFC 3339 UTC with milliseconds: keep a device with a reading at or after it.

    Raises:
        BacklogFull: too many entries are unread; what was appended before is done.
        Unavailable: too many tombstones are not finished yet; or, at `replicated`, too few replicas
            have confirmed one, which is done and may be repeated.
    """
    request = secrets.token_hex(8)
    by_partition: dict[int, list[str]] = {}
    for device in devices:
        partition = keys.partition_of(device, settings.partitions)
        by_partition.setdefault(partition, []).append(device)
    for partition, several in by_partition.items():
        for first in range(0, len(several), DEVICES_MAX):
            some = tuple(several[first : first + DEVICES_MAX])
            append(client, settings, partition, Tombstone(request, some, before))
    return request


def append(client: redis.Redis, settings: Settings, partition: int, tombstone: Tombstone) -> str:
    """Append one tombstone; returns the id of its entry. Raises as `ask`."""
    refuses = settings.overflow == "refuse"
    command = scripts.forget(
        partition,
        max_entries=str(settings.stream_max_entries),
        unread_max=str(stream.unread_max(settings) if refuses else 0),
        records_max=RECORDS_MAX,
        text=tombstone.packed(),
    )
    reply: bytes = stream.execute_confirmed(client, settings, keys.meta(partition), command)
    if reply == b"backlog":
        raise BacklogFull
    if reply == b"records":
        raise Unavailable(
            f"partition {partition} has {RECORDS_MAX} unfinished tombstones; wait for the job "
            "`forget`, or see `tributary jobs list` for the reason that it does not finish",
            retry_after_s=60,
        )
    return reply.decode()


def recorded_at(document: bytes) -> str:
    """The time of the newest reading in the stored document of a device, RFC 3339."""
    return _decode(document).recorded_at


def progress(client: redis.Redis, request: str) -> str:
    """What a request waits for: aggregators, history or files; empty before the first run."""
    with failures():
        text: Any = client.hget(keys.forgotten(request), "waiting")
    return (text or b"").decode()


def report(client: redis.Redis, request: str) -> Report | None:
    """The report of a request that is done, for a week; it names no device."""
    with failures():
        text: Any = client.hget(keys.forgotten(request), "report")
    return None if text is None else msgspec.json.decode(text, type=Report)


def _pending(client: redis.Redis, partition: int) -> Iterable[entries.Entry]:
    """The entries that are not applied, or only in part."""
    with failures():
        stored: Any = client.hmget(keys.meta(partition), "hwm", "progress")
    hwm, begun = stored[0] or b"0-0", (stored[1] or b"").partition(b" ")[0].decode()
    if begun:
        yield from entries.read(client, partition, begun, begun)
    yield from entries.read(client, partition, f"({hwm.decode()}")
