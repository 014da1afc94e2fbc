"""What a folded batch changes in Redis, ready to be committed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from aggregator import latest
from aggregator.account import COUNTS, Counts, Dead, Progress, Sorted
from aggregator.fold import Folded
from aggregator.table import Table
from tributary.store import keys


class Changes(NamedTuple):
    """The changes to one partition; the lists alternate field and value (score and name)."""

    ids: list[bytes]
    counts: Counts
    state: list[str | bytes]
    windows: list[str | bytes]
    latest: list[str | bytes]
    devices: list[str]
    dead: list[Dead]
    progress: Progress | None = None  # after a slice that is not the last of its entry

    def meta(self) -> list[str | bytes]:
        """Counts as fields and values of `meta`."""
        return [part for name in COUNTS for part in (name, str(getattr(self.counts, name)))]

    def arguments(self, meta: list[str | bytes], begun_id: bytes | None) -> list[str | bytes]:
        """The lists of `commit.lua` behind their lengths, with these fields of `meta`.

        `begun_id`: the entry that is begun and stays pending, if there is one.
        """
        begun = [] if begun_id is None else [begun_id]
        dead: list[str | bytes] = []
        for entry in self.dead:
            dead += (entry.id, entry.reason, str(entry.readings), entry.fields)
        lists = (
            begun, self.ids, meta, self.state, self.windows, self.latest, self.devices, dead
        )  # fmt: skip
        found: list[str | bytes] = [str(len(each)) for each in lists]
        for each in lists:
            found += each
        return found


def none(sorted_: Sorted, late: int = 0) -> Changes:
    """Only counts, and entries to acknowledge or bury; so many of the readings were late."""
    counts = sorted_.counts.with_late(late)
    return Changes(sorted_.ids, counts, [], [], [], [], sorted_.dead, sorted_.progress)


def of(table: Table, partition: int, folded: Folded, changes: Changes) -> Changes:
    """`changes`, filled with the series and devices of one partition that the fold touched."""
    mine = table.partitions(folded.rows) == partition
    rows = folded.rows[mine]
    part = table.state[rows]
    series = [table.series[row] for row in rows.tolist()]
    names = [keys.series(device, metric) for device, metric in series]
    for name, packed in zip(names, _records(part.tobytes(), len(rows)), strict=True):
        changes.state.extend((name, packed))
    changed = np.flatnonzero(folded.rings_changed[mine])
    for position, packed in zip(changed.tolist(), table.packed_rings(rows[changed]), strict=True):
        changes.windows.extend((names[position], packed))
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
