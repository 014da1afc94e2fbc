"""What a folded batch changes in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from aggregator.account import Counts, Dead, Progress, Sorted
from aggregator.fold import Folded
from aggregator.table import Table, packed_records
from tributary.model.aggregate import take
from tributary.store import keys
from tributary.store.tombstone import Tombstone


class Changes(NamedTuple):
    """The changes to one partition; the lists alternate field and value (score and name)."""

    ids: list[bytes]
    counts: Counts
    dead: list[Dead]
    progress: Progress | None  # after a slice that is not the last one of its entry
    state: Sequence[str | bytes] = ()
    windows: Sequence[str | bytes] = ()
    latest: Sequence[str | bytes] = ()
    devices: Sequence[str] = ()  # new
    forget: Tombstone | None = None  # behind everything else

    def lists(self) -> dict[str, Sequence[str | bytes]]:
        """The arguments of `scripts.commit` that do not depend on the tenure."""
        dead: list[str | bytes] = []
        for entry in self.dead:
            dead += (entry.id, entry.reason, str(entry.readings), entry.fields, str(entry.applied))
        forget: list[str | bytes] = []
        if self.forget is not None:
            forget += (self.ids[0], self.forget.request, self.forget.before, *self.forget.devices)
        return {
            "state": self.state,
            "windows": self.windows,
            "latest": self.latest,
            "devices": [part for device in self.devices for part in ("0", device)],
            "dead": dead,
            "forget": forget,
        }


def counts_only(sorted_: Sorted, late: int = 0) -> Changes:
    """Counts, and entries to bury; `late` of the readings were late."""
    counts = sorted_.counts.with_late(late)
    return Changes(sorted_.ids, counts, sorted_.dead, sorted_.progress, forget=sorted_.forget)


def from_fold(
    counted: Changes, table: Table, partition: int, folded: Folded, new_devices: list[str]
) -> Changes:
    """The same, and the series and devices of the partition that the fold touched."""
    mine = table.partitions(folded.rows) == partition
    rows = folded.rows[mine]
    part = take(table.state, rows)
    series = [table.series[row] for row in rows.tolist()]
    names = [keys.series(device, metric) for device, metric in series]
    state: list[str | bytes] = []
    for name, packed in zip(names, packed_records(part), strict=True):
        state += (name, packed)
    windows: list[str | bytes] = []
    changed = np.flatnonzero(folded.rings_changed[mine])
    for position, packed in zip(changed.tolist(), table.packed_rings(rows[changed]), strict=True):
        windows += (names[position], packed)
    documents = table.documents.update(rows, part)
    return counted._replace(state=state, windows=windows, latest=documents, devices=new_devices)
