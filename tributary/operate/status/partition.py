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
from tributary.operate.status import history
from tributary.operate.status.described import described
from tributary.operate.status.history import HistoryStatus
from tributary.store import scripts

_FIELDS = (
    "accepted", "entries", "done", "done_entries", "applied", "late", "dead", "dead_entries",
    "lost", "lost_entries", "foreign", "begun", "begun_entry", "refused", "replayed",
    "replayed_entries", "restart_lost", *history.FIELDS,
)  # fmt: skip


Count = Annotated[int, Meta(ge=0)]
Accepted = Annotated[int, described("readings acknowledged with 200")]
Applied = Annotated[int, described("readings folded into the aggregates")]
Late = Annotated[int, described("readings too old for any window, in totals only")]
Dead = Annotated[int, described("readings of entries that could not be applied")]
Lost = Annotated[int, described("accepted readings lost before they were applied")]
LostAtRestart = Annotated[int, described("lost readings that Redis lacked after a restart")]
Pending = Annotated[int, described("accepted readings not yet applied, late, dead or lost")]
Missing = Annotated[int, described("pending readings no longer in the stream, about to be lost")]
Refused = Annotated[int, described("readings rejected because the backlog was full")]
LagSeconds = Annotated[float, described("age of the oldest pending entry")]
Devices = Annotated[int, described("devices with at least one reading")]
Series = Annotated[int, described("series: metrics of devices")]


class Entries(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The same counts in stream entries. `applied` includes entries with late readings."""

    accepted: Annotated[int, described("entries appended to the stream")]
    applied: Annotated[int, described("entries folded into the aggregates")]
    dead: Annotated[int, described("entries that could not be applied")]
    lost: Annotated[int, described("accepted entries lost before they were applied")]
    pending: Annotated[int, described("entries not yet applied, dead or lost")]
    missing: Annotated[int, described("pending entries no longer in the stream")]
    replayed: Annotated[int, described("dead entries appended again")]


class Partition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The counts of one partition, in readings unless named otherwise."""

    partition: Annotated[int, described("number of the partition")]
    accepted: Accepted
    applied: Applied
    late: Late
    dead: Dead
    lost: Lost
    lost_at_restart: LostAtRestart
    pending: Pending
    missing: Missing
    refused: Refused
    replayed: Annotated[int, described("dead readings appended again, no longer counted as dead")]
    entries: Entries
    lag_s: LagSeconds
    stream_entries: Annotated[int, described("entries in the stream, including applied ones")]
    devices: Devices
    series: Series
    history: HistoryStatus | None  # None: it is off


def request(pipeline: redis.client.Pipeline, partition: int) -> None:
    """Queue the script for a partition; `parse` takes its reply."""
    command = scripts.with_source(scripts.account(partition, fields=_FIELDS))
    pipeline.execute_command(*command)  # type: ignore[no-untyped-call]


def parse(partition: int, reply: list[Any], setting: str) -> Partition:
    """Build the counts of a partition from the reply of the script; the setting is `history`."""
    values, stream_entries, devices, series, now_ms, unread, begun, unarchived = reply
    meta = {name: int(value or 0) for name, value in zip(_FIELDS, values, strict=True)}
    missing, missing_entries = _missing(meta, unread)
    waiting = [int(id_.partition(b"-")[0]) for id_ in (begun, *unread[:1]) if id_]
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
        history=None
        if setting == "off"
        else history.of_partition(meta, now_ms, unarchived, is_required=setting == "required"),
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
