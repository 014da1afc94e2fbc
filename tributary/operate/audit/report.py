"""What an audit found: the differences, and what it could compare."""

from __future__ import annotations

from typing import Any

import msgspec

from tributary.operate.audit.aggregates import Finding
from tributary.operate.audit.collection import Name

DIFFERENCES_MAX = 1_000  # listed per partition; all are counted


class Difference(msgspec.Struct, frozen=True):
    """A stored value that does not follow from the readings."""

    partition: int
    # state, windows, latest, devices, minutes, hours, days, raw; readings (the stream) or meta
    store: str
    device: str
    metric: str
    # A slot as `1m 2026-11-22T10:00:00.000Z`, or the part of the stored value; of raw: the entry
    # and the time of the reading, or a file; of readings: the entry.
    slot: str
    expected: Any  # null: nothing
    found: Any

    def __str__(self) -> str:
        """One line for people."""
        where = " ".join(filter(None, (self.store, self.device, self.metric, self.slot)))
        return f"partition {self.partition}: {where}: expected {self.expected}, found {self.found}"


class PartitionReport(msgspec.Struct):
    """The audit of one partition."""

    partition: int
    entries: int = 0  # read from the stream
    readings: int = 0  # values recomputed
    devices: int = 0
    series: int = 0
    slots: int = 0  # compared, of windows and history, and totals
    since: str | None = None  # earliest slot that could be compared; null: all
    history_entry: str | None = None  # last entry in the history; null: there is no history
    history_since: str | None = None  # earliest slot of the history that was compared; null: all
    surplus_slots: int = 0  # of the history: more readings than Redis had when it restarted
    raw_rows: int = 0  # of raw files, compared with the stream
    surplus_rows: int = 0  # of raw files: of entries that Redis may have lost when it restarted
    differences_found: int = 0
    differences: list[Difference] = []

    def add(self, name: Name, finding: Finding) -> None:
        """Report a difference of a series; one of a device has an empty metric."""
        self.differences_found += 1
        if len(self.differences) < DIFFERENCES_MAX:
            store, slot, expected, found = finding
            one = Difference(self.partition, store, *name, slot, expected, found)
            self.differences.append(one)

    def merge(self, other: PartitionReport) -> None:
        """Add the report of other devices of the same partition."""
        for field in (
            "readings",
            "devices",
            "series",
            "slots",
            "surplus_slots",
            "raw_rows",
            "surplus_rows",
            "differences_found",
        ):
            setattr(self, field, getattr(self, field) + getattr(other, field))
        room = DIFFERENCES_MAX - len(self.differences)
        self.differences += other.differences[:room]
        self.entries = max(self.entries, other.entries)
        self.since = max(filter(None, (self.since, other.since)), default=None)
        self.history_since = max(
            filter(None, (self.history_since, other.history_since)), default=None
        )
        self.history_entry = other.history_entry
