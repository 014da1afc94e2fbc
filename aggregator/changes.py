"""What a folded batch changes in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from aggregator import writes
from aggregator.account import Counts, Dead, Progress, Sorted
from aggregator.addresses import Addresses
from aggregator.alerts.stored import NO_ALERTS, AlertWrites
from aggregator.fold import Folded
from aggregator.rings import NO_CELLS
from aggregator.table import Table
from aggregator.writes import NO_WRITES, Owned, Writes
from tributary.model.aggregate import take
from tributary.model.groups import Ints
from tributary.store.tombstone import Tombstone


class Changes(NamedTuple):
    """The changes to one partition; the lists alternate field and value (score and name)."""

    ids: list[bytes]
    counts: Counts
    dead: list[Dead]
    progress: Progress | None  # after a slice that is not the last one of its entry
    writes: Writes = NO_WRITES
    latest: Sequence[str | bytes] = ()
    devices: Sequence[str] = ()  # new
    forget: Tombstone | None = None  # behind everything else
    alerts: AlertWrites = NO_ALERTS
    notes: Sequence[str] = ()  # further fields of `meta`, and values

    def lists(self) -> dict[str, Any]:
        """The arguments of `scripts.commit` that do not depend on the tenure."""
        dead: list[str | bytes] = []
        for entry in self.dead:
            dead += (entry.id, entry.reason, str(entry.readings), entry.fields, str(entry.applied))
        forget: list[str | bytes] = []
        if self.forget is not None:
            forget += (self.ids[0], self.forget.request, self.forget.before, *self.forget.devices)
        writes = self.writes._asdict()
        del writes["began"]
        return {
            **writes,
            "latest": self.latest,
            "devices": [part for device in self.devices for part in ("0", device)],
            "dead": dead,
            "forget": forget,
            "alerts": self.alerts.lists,
        }


def counts_only(sorted_: Sorted, late: int = 0) -> Changes:
    """Counts, and entries to bury; `late` of the readings were late."""
    counts = sorted_.counts.with_late(late)
    return Changes(sorted_.ids, counts, sorted_.dead, sorted_.progress, forget=sorted_.forget)


def from_fold(
    counted: Sequence[Changes],
    table: Table,
    folded: Folded,
    addresses: Sequence[Addresses],
    new_devices: Sequence[list[str]],
) -> list[Changes]:
    """The same of some partitions, and the series and devices that the fold touched."""
    owned = Owned.of(table, folded, addresses)
    rows, sizes = owned.folded.rows, np.bincount(owned.partition, minlength=len(addresses))
    documents = table.documents.update(rows, take(table.state, rows), sizes.tolist())
    each = zip(counted, writes.of(table, owned), documents, new_devices, strict=True)
    return [
        changes._replace(writes=written, latest=latest, devices=devices)
        for changes, written, latest, devices in each
    ]


def moved(counts: Counts, table: Table, rows: Ints, addresses: Addresses) -> Changes:
    """Series that are stored in format 2 and were loaded: they are moved to rows."""
    nothing = np.zeros(len(rows), np.bool_)
    counts_of = np.zeros(len(rows), np.int64)
    folded = Folded(rows, NO_CELLS[0], counts_of, nothing, nothing, NO_CELLS)
    (written,) = writes.of(table, Owned.of(table, folded, [addresses]))
    return Changes([], counts, [], None, writes=written)
