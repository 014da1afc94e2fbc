"""What was applied to a partition up to a moment: the readings of its entries, in order.

Everything up to `hwm` is applied, except for dead entries, and for the rest of an entry that is
begun.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis

from tributary.errors import BadFrame, Unavailable
from tributary.model.frame import RawBlock
from tributary.operate.audit.aggregates import Known
from tributary.operate.audit.collection import Collection, Name, unpack
from tributary.operate.audit.entries import NEVER_MS, Entries, Entry, Id, parsed
from tributary.operate.audit.sequence import Sequence
from tributary.store import keys, tombstone
from tributary.store.redis_client import failures

META = ("hwm", "progress", "tail_entries")  # fields of `meta`
_WATCH_EVERY_ENTRIES = 256


class _Begun:
    """The entry that is applied in slices, and how many of its readings are collected."""

    def __init__(self, entry: Entry, blocks: list[RawBlock], readings: int) -> None:
        self.entry = entry
        self.blocks = blocks
        self.readings = readings
        self.collected = 0


class Replay:
    """The entries of a partition and the readings in them, as far as they were applied."""

    def __init__(
        self,
        client: redis.Redis,
        entries: Entries,
        collection: Collection,
        margin_ms: int,
        sequence: Sequence,
    ) -> None:
        """`margin_ms`: how far ahead of its arrival a reading may be; `sequence`: gets entries."""
        self.sequence = sequence
        self.entries = entries
        self.collection = collection
        self._client = client
        self._margin_ms = margin_ms
        self._begun: _Begun | None = None
        self._survived: int | None = None  # number of the last entry when Redis last started
        self._bulk = bytearray()  # by ordinal: whether the entry has several readings
        self._forgotten: dict[str, int] = {}  # device → ordinal of the tombstone

    @property
    def entries_read(self) -> int:
        """How many entries that append or forget wrote were read."""
        return len(self._bulk)

    def is_forgotten_behind(self, device: str, ordinal: int) -> bool:
        """Whether a device was forgotten by an entry behind one."""
        return self._forgotten.get(device, -1) > ordinal

    def forgotten_at(self, device: str) -> int:
        """The ordinal of the entry that has forgotten a device last; -1 if none has."""
        return self._forgotten.get(device, -1)

    def restarted_at(self) -> Id:
        """The first entry since Redis last started: it may have lost others before."""
        if self._survived is None:
            return 0, 0
        return self.entries.id_behind(self._survived) or (NEVER_MS, 0)

    def restarted_ms(self) -> int:
        """Event time up to which Redis may have lost readings that were in the history already.

        They are gone from the stream and from the aggregates, and nothing says which they were.
        """
        if self._survived is None:
            return 0
        return self.entries.arrival_behind_ms(self._survived) + self._margin_ms

    def known(self, name: Name, ordinal: int | None = None) -> Known:
        """The readings of a series in the entries up to one, or in all."""
        series = self.collection.get(name).until(ordinal)
        return Known(*series, self._bulk, self.since_ms(name[0]))

    def since_ms(self, device: str = "") -> int | None:
        """Event time from which on every reading of a device is known; None: all are."""
        known_from_ms = self.entries.known_from_ms
        if known_from_ms is None or self._forgotten.get(device, -1) >= self.entries.run_ordinal:
            return None
        return known_from_ms + self._margin_ms

    def catch_up(
        self, meta: list[bytes | None], watch: Callable[[int], None] = lambda _done: None
    ) -> None:
        """Collect what was applied when `meta` was read.

        Raises:
            TooMany: more than the collection may hold.
            Unavailable: Redis is, or it has lost entries.
        """
        hwm, progress = (meta[0] or b"0-0").decode(), meta[1] or b""
        self._survived = None if meta[2] is None else int(meta[2])
        if parsed(hwm) < self.entries.last:
            partition = self.entries.partition
            raise Unavailable(f"partition {partition}: Redis lost entries meanwhile; run it again")
        self.entries.read_buried()
        id_, _, applied = progress.partition(b" ")
        self._continue(id_, int(applied or 0))
        for entry in self.entries.read_to(hwm):
            self._add(entry, int(applied or 0) if entry.id == id_ else None)
            if entry.ordinal % _WATCH_EVERY_ENTRIES == 0:
                watch(entry.ordinal)

    def _continue(self, id_: bytes, applied: int) -> None:
        """Collect more of the entry that was begun; another one, or none, is begun now."""
        begun = self._begun
        if begun is None:
            return
        if begun.entry.id == id_:
            self._collect(begun, applied)
        else:
            self._collect(begun, self.entries.applied(begun.entry.id, begun.readings))
            self._begun = None

    def _add(self, entry: Entry, applied: int | None) -> None:
        """Collect an entry; `applied`: how many of its readings, if it is begun."""
        if tombstone.FIELD in entry.fields:
            self.sequence.add(entry.id, entry.fields, 0)
            self._bulk.append(0)
            self._forget(entry)
            return
        try:
            blocks, readings = unpack(entry.fields.get(b"r", b""))
            self.sequence.add(entry.id, entry.fields, readings)
        except BadFrame as error:
            blocks, readings = [], 0
            self.sequence.add(entry.id, entry.fields, None)
            if not self.entries.is_buried(entry.id):
                self.sequence.damaged(entry.id, str(error))
                self.entries.note_gap()  # what it has changed is unknown
        self._bulk.append(readings > 1)
        begun = _Begun(entry, blocks, readings)
        if applied is not None:
            self._begun = begun
            self._collect(begun, applied)
        else:
            self._collect(begun, self.entries.applied(entry.id, readings))

    def _forget(self, entry: Entry) -> None:
        """Drop what was read of the devices that a tombstone has forgotten."""
        if not self.entries.applied(entry.id, 1):
            return
        with failures():
            value: Any = self._client.hget(keys.forgets(self.entries.partition), entry.id.decode())
        try:
            forgotten = tombstone.Tombstone.parse(entry.fields[tombstone.FIELD])
            record = value and tombstone.Record.parse(self.entries.partition, entry.id, value)
        except BadFrame:
            return
        if record and record.stage == tombstone.APPLIED:
            forgotten = record.tombstone  # only those without newer readings
        elif forgotten.before:
            self.entries.note_gap()
            return
        for device in forgotten.devices:
            self.collection.forget(device)
            self._forgotten[device] = entry.ordinal

    def _collect(self, begun: _Begun, end: int) -> None:
        self.collection.add(begun.blocks, begun.entry.ordinal, begun.collected, end)
        begun.collected = end
