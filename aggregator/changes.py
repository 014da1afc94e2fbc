"""What a folded batch changes in Redis, ready to be committed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from aggregator import latest
from aggregator.account import Counts, Dead, Sorted
from aggregator.fold import Folded
from aggregator.table import Table
from tributary import keys


class Changes(NamedTuple):
    """The changes to one partition; the lists alternate field and value (score and name)."""

    ids: list[bytes]
    counts: Counts
    state: list[str | bytes]
    windows: list[str | bytes]
    latest: list[str | bytes]
    devices: list[str]
    dead: list[Dead]


def none(sorted_: Sorted, counts: Counts) -> Changes:
    """Only counts and entries to acknowledge or bury."""
    return Changes(sorted_.ids, counts, [], [], [], [], sorted_.dead)


def of(table: Table, partition: int, folded: Folded, changes: Changes) -> Changes:
    """`changes`, filled with the series and devices of one partition that the fold touched."""
    mine = table.partitions(folded.rows) == partition
    rows = folded.rows[mine]
    part = table.state[rows]
    series = [table.series[row] for row in rows.tolist()]
    names = [keys.series(device, metric) for device, metric in series]
    for name, packed in zip(names, _records(part.tobytes(), len(rows)), strict=True):
        changes.state.extend((name, packed))
    for position in np.flatnonzero(folded.rings_changed[mine]).tolist():
        changes.windows.extend((names[position], table.rings[rows[position]].tobytes()))
    documents = [table.documents[device] for device, _ in series]
    for document in latest.update(documents, [metric for _, metric in series], part):
        device = str(document.body["device"])
        changes.latest.extend((device, latest.encode(document.body)))
        if document.is_new:
            changes.devices.extend(("0", device))
            document.is_new = False
    return changes


def _records(packed: bytes, count: int) -> list[bytes]:
    size = len(packed) // count
    return [packed[i : i + size] for i in range(0, len(packed), size)]
