"""Counts of one partition, from the reply of the script `account`.

accepted = applied + late + dead + lost + pending holds in every reply, for readings and for
entries. Entries trimmed from the stream count as missing at once, even while no aggregator
runs. Missing is part of pending until an aggregator counts the entries as lost: another
aggregator may still hold them in memory and commit them, and `lost` must never decrease.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import redis
from msgspec import Meta

from tributary.errors import BadFrame
from tributary.model import frame
from tributary.store import scripts

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

# The descriptions are those of the OpenAPI schemas and of the metrics.
Count = Annotated[int, Meta(ge=0)]
Accepted = Annotated[int, Meta(ge=0, description="readings acknowledged with 200")]
Applied = Annotated[int, Meta(ge=0, description="readings folded into the aggregates")]
Late = Annotated[int, Meta(ge=0, description="readings too old for any window, in totals only")]
Dead = Annotated[int, Meta(ge=0, description="readings of entries that could not be applied")]
Lost = Annotated[int, Meta(ge=0, description="accepted readings lost before they were applied")]
LostAtRestart = Annotated[
    int,
    Meta(
        ge=0,
        description="acknowledged readings missing after a restart or failover of Redis; "
        "included in lost",
    ),
]
Pending = Annotated[
    int, Meta(ge=0, description="accepted readings not yet applied, late, dead or lost")
]
Missing = Annotated[
    int, Meta(ge=0, description="pending readings no longer in the stream; they will become lost")
]
Refused = Annotated[
    int, Meta(ge=0, description="readings rejected because the backlog was full; not in accepted")
]
LagSeconds = Annotated[float, Meta(ge=0, description="age of the oldest pending entry")]
Devices = Annotated[int, Meta(ge=0, description="devices with at least one reading")]
Series = Annotated[int, Meta(ge=0, description="series: metrics of devices")]


class Entries(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The same counts in stream entries. `applied` includes entries with late readings."""

    accepted: Annotated[int, Meta(ge=0, description="entries appended to the stream")]
    applied: Annotated[int, Meta(ge=0, description="entries folded into the aggregates")]
    dead: Annotated[int, Meta(ge=0, description="entries that could not be applied")]
    lost: Annotated[int, Meta(ge=0, description="accepted entries lost before they were applied")]
    pending: Annotated[int, Meta(ge=0, description="entries not yet applied, dead or lost")]
    missing: Annotated[int, Meta(ge=0, description="pending entries no longer in the stream")]
    replayed: Annotated[int, Meta(ge=0, description="dead entries appended again")]


class Partition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The counts of one partition, in readings unless named otherwise."""

    partition: Annotated[int, Meta(ge=0, description="number of the partition")]
    accepted: Accepted
    applied: Applied
    late: Late
    dead: Dead
    lost: Lost
    lost_at_restart: LostAtRestart
    pending: Pending
    missing: Missing
    refused: Refused
    replayed: Annotated[
        int,
        Meta(ge=0, description="dead readings appended again; no longer in accepted and dead"),
    ]
    entries: Entries
    lag_s: LagSeconds
    stream_entries: Annotated[
        int, Meta(ge=0, description="entries in the stream, including applied ones")
    ]
    devices: Devices
    series: Series


def request(pipeline: redis.client.Pipeline, partition: int) -> None:
    """Queue the script for a partition; `parse` takes its reply."""
    command = scripts.with_source(scripts.account(partition, fields=_FIELDS))
    pipeline.execute_command(*command)  # type: ignore[no-untyped-call]


def parse(partition: int, reply: list[Any]) -> Partition:
    """Build the counts of a partition from the reply of the script."""
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
    """Count readings and entries that are pending but no longer in the stream."""
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
