"""How far the history is behind the streams, and what it lacks; jobs publish their positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from tributary.operate.status.described import described

FIELDS = ("archived_entries", "gaps", "gap_entries", "gap_readings")  # of `meta`


class HistoryStatus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The history of a partition, or of all."""

    lag_s: Annotated[float, described("age of the oldest entry that is not in the history")]
    lag_entries: Annotated[int, described("entries that are not in the history")]
    gaps: Annotated[int, described("gaps: entries trimmed before they were in the history")]
    gap_entries: Annotated[int, described("entries in the gaps of the history")]
    gap_readings: Annotated[int, described("readings in the gaps of the history")]
    is_required: Annotated[bool, Meta(description="whether such entries count as backlog")]


def of_partition(
    meta: Mapping[str, int], now_ms: int, unarchived: bytes, *, is_required: bool
) -> HistoryStatus:
    """The history of a partition.

    Args:
        meta: fields of the hash `meta`.
        now_ms: time of the server, UTC.
        unarchived: id of the oldest entry that is not in the history; empty if there is none.
        is_required: whether the setting `history` is `required`.
    """
    age_ms = now_ms - int(unarchived.partition(b"-")[0]) if unarchived else 0
    behind = max(0, meta["entries"] - meta["archived_entries"])
    gaps = {name: meta[name] for name in FIELDS[1:]}
    return HistoryStatus(max(0.0, age_ms / 1000), behind, is_required=is_required, **gaps)


def total(histories: Sequence[HistoryStatus]) -> HistoryStatus:
    """The history of several partitions: sums, and the longest lag."""
    sums = {
        name: sum(getattr(each, name) for each in histories)
        for name in ("lag_entries", *FIELDS[1:])
    }
    lag_s = max(each.lag_s for each in histories)
    return HistoryStatus(lag_s, is_required=histories[0].is_required, **sums)
