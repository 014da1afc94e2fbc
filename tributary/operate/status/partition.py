"""Where the readings of one partition went: what the script `account` tells, made into figures.

accepted = applied + late + dead + lost + pending, of readings and of entries, in every account.
What the stream has dropped shows at once as missing, also where no aggregator is. It is a part
of pending until an aggregator counts it as lost: it may have been in the hands of one that
still commits it, and `lost` must never go back.
"""

from __future__ import annotations

from typing import Any

import msgspec
import redis

from tributary.errors import BadFrame
from tributary.model import frame
from tributary.store import keys
from tributary.store.scripts import ACCOUNT

_FIELDS = (
    "accepted",
    "entries",
    "done",
    "done_entries",
    "applied",
    "late",
    "dead",
    "dead_entries",
    "lost",
    "lost_entries",
    "foreign",
    "begun",
    "begun_entry",
    "refused",
    "replayed",
    "replayed_entries",
    "restart_lost",
)


class Entries(msgspec.Struct, frozen=True):
    """The same account in entries of the stream; `applied` holds those with late readings."""

    accepted: int
    applied: int
    dead: int
    lost: int
    pending: int
    missing: int
    replayed: int


class Partition(msgspec.Struct, frozen=True):
    """The account of one partition; counts are of readings unless named."""

    partition: int
    accepted: int
    applied: int
    late: int
    dead: int
    lost: int
    lost_at_restart: int  # acknowledged by Redis, and gone when it came back; in lost once counted
    pending: int
    missing: int  # of pending: no longer in the stream
    refused: int  # never accepted: the backlog was full
    replayed: int  # dead ones that were appended again: no part of accepted and dead any more
    entries: Entries
    lag_s: float  # age of the oldest entry that is held or readable and not accounted for
    stream_entries: int  # applied ones included, until they are trimmed
    devices: int
    series: int


def ask(pipeline: redis.client.Pipeline, partition: int) -> None:
    """Queue the question for a partition; its reply is what `parse` takes."""
    p = partition
    names = (keys.readings(p), keys.meta(p), keys.devices(p), keys.state(p))
    # Not `eval`, which redis-py's pipelines for a cluster do not have.
    command = ("EVAL", ACCOUNT.source, len(names), *names, keys.GROUP, *_FIELDS)
    pipeline.execute_command(*command)  # type: ignore[no-untyped-call]


def parse(partition: int, reply: list[Any]) -> Partition:
    """The account of a partition from the reply of the script."""
    values, stream_entries, devices, series, now_ms, unread, held = reply
    meta = {name: int(value or 0) for name, value in zip(_FIELDS, values, strict=True)}
    missing, missing_entries = _missing(meta, unread)
    waiting = [int(id_.partition(b"-")[0]) for id_ in (held, *unread[:1]) if id_]
    return Partition(
        partition=partition,
        accepted=meta["accepted"] + meta["foreign"] - meta["replayed"],
        applied=meta["applied"],
        late=meta["late"],
        dead=meta["dead"] - meta["replayed"],
        lost=meta["lost"],
        lost_at_restart=meta["restart_lost"],
        pending=meta["accepted"] - meta["done"] + meta["begun"],
        missing=missing,
        refused=meta["refused"],
        replayed=meta["replayed"],
        entries=_entries(meta, missing_entries),
        lag_s=max(0.0, (now_ms - min(waiting)) / 1000) if waiting else 0.0,
        stream_entries=stream_entries,
        devices=devices,
        series=series,
    )


def _missing(meta: dict[str, int], unread: list[bytes]) -> tuple[int, int]:
    """Readings and entries that are not accounted for and stand in the stream no more."""
    if not unread:
        return meta["accepted"] - meta["done"], meta["entries"] - meta["done_entries"]
    _, e, n, packed = unread
    entries = int(e) - meta["done_entries"] - 1
    if entries <= 0:
        return 0, 0
    try:
        first = frame.readings_in(frame.unpack(packed))
    except BadFrame:
        first = 1  # as the aggregator will count it
    return max(0, int(n) - first - meta["done"]), entries


def _entries(meta: dict[str, int], missing: int) -> Entries:
    dead_numbered = meta["dead_entries"] - meta["foreign"]
    has_begun = meta["begun_entry"] > 0
    return Entries(
        accepted=meta["entries"] + meta["foreign"] - meta["replayed_entries"],
        applied=meta["done_entries"] - meta["lost_entries"] - dead_numbered - has_begun,
        dead=meta["dead_entries"] - meta["replayed_entries"],
        lost=meta["lost_entries"],
        pending=meta["entries"] - meta["done_entries"] + has_begun,
        missing=missing,
        replayed=meta["replayed_entries"],
    )
