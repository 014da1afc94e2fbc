"""The counts of a partition, and entries counted into them. Pure.

Append numbers the entries of a partition (e) and counts its readings (n). Entries are applied
in that order, so a gap in the numbers is exactly what was trimmed before it was read:
accepted = applied + late + dead + lost + pending, at every commit.
An entry that is applied in slices is counted as done with the first slice; `begun` counts its
readings that are still pending.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from aggregator import decode
from aggregator.decode import Columns, Entry, Scan
from aggregator.numbering import numbers, repaired
from tributary.errors import BadFrame
from tributary.model import frame
from tributary.store import tombstone
from tributary.store.tombstone import Tombstone


class Counts(msgspec.Struct, frozen=True):
    """The fields of `meta` besides the epoch. Counts are of readings unless named."""

    hwm: str = "0-0"  # the greatest entry applied
    done_entries: int = 0  # number of the last entry that is accounted for
    done: int = 0  # number of the last reading that is accounted for
    applied: int = 0
    late: int = 0
    dead: int = 0
    dead_entries: int = 0
    lost: int = 0
    lost_entries: int = 0
    foreign: int = 0  # entries not written by append: dead, but never accepted
    begun: int = 0  # readings of the entry applied in slices that are not applied yet
    begun_entry: int = 0  # number of that entry; 0: there is none

    @classmethod
    def parse(cls, meta: Mapping[bytes, bytes]) -> Counts:
        """Parse the fields of the hash; missing ones are 0."""
        given = {name: meta[name.encode()].decode() for name in COUNTS if name.encode() in meta}
        return msgspec.convert(given, cls, strict=False)

    def since(self, before: Counts) -> list[str | bytes]:
        """The fields of `meta` that differ from those before, alternating with their values."""
        pairs = zip(COUNTS, _values(self), _values(before), strict=True)
        return [part for name, now, then in pairs if now != then for part in (name, str(now))]

    def plus(self, **more: int) -> Counts:
        """The counts with these fields increased."""
        return msgspec.structs.replace(
            self, **{name: getattr(self, name) + by for name, by in more.items()}
        )

    def with_lost(self, entries: int, readings: int) -> Counts:
        """The counts after entries that can no longer be read are counted as lost."""
        return self.plus(done_entries=entries, done=readings, lost_entries=entries, lost=readings)

    def with_late(self, readings: int) -> Counts:
        """The counts after some of the applied readings turn out to be late."""
        return self.plus(applied=-readings, late=readings) if readings else self

    def with_begun(self, readings: int) -> Counts:
        """The counts if the last entry, with this number of readings, is done but not applied yet."""
        counts = self.plus(applied=-readings)
        return msgspec.structs.replace(counts, begun=readings, begun_entry=self.done_entries)

    def with_slice(self, readings: int, *, is_last: bool) -> Counts:
        """The counts after a slice of the entry that is begun is applied."""
        counts = self.plus(applied=readings, begun=-readings)
        return msgspec.structs.replace(counts, begun_entry=0) if is_last else counts

    def with_rest_dead(self) -> Counts:
        """The counts after the rest of the entry that is begun is buried."""
        counts = self.plus(dead=self.begun, dead_entries=1)
        return msgspec.structs.replace(counts, begun=0, begun_entry=0)


COUNTS = Counts.__struct_fields__
_values = msgspec.structs.astuple
_packed = msgspec.msgpack.Encoder().encode


class Progress(NamedTuple):
    """How far an entry that is applied in slices has been applied."""

    id: bytes
    readings: int = 0  # applied, late ones included

    @classmethod
    def parse(cls, field: bytes | None) -> Progress | None:
        """Parse the field `progress` of `meta`."""
        if not field:
            return None
        id_, readings = field.split()
        return cls(id_, int(readings))

    def packed(self) -> bytes:
        """The field `progress` of `meta`."""
        return b"%b %d" % self


class Dead(NamedTuple):
    """An entry that can never be applied."""

    id: bytes
    reason: str
    readings: int  # counted as dead
    fields: bytes  # its fields and values, msgpack
    applied: int = 0  # readings of it that were applied before


class Sorted(NamedTuple):
    """The first entries of one read: what to fold, what to bury, and the counts after both."""

    ids: list[bytes]
    columns: Columns | None
    counts: Counts  # as if no reading were late
    dead: list[Dead]
    progress: Progress | None = None  # of an entry that is not finished before its last slice
    forget: Tombstone | None = None  # then it is the only entry


def sort_out(entries: list[Entry], counts: Counts, scan: Scan | None = None) -> Sorted:
    """Decode and count entries of one read, which follow those in `counts`.

    Returns all of them; or those before the first tombstone, or that one alone.
    """
    try:
        found = _in_sequence(entries, decode.decode(entries, scan), counts)
    except (BadFrame, LookupError, TypeError, ValueError):
        found = None
    if found is not None:
        return found
    entries = repaired(entries, (counts.done_entries, counts.done))
    first = tombstone.position(entries)  # its text is not a frame
    if first and first < len(entries):
        return sort_out(entries[:first], counts, scan)
    return _one_by_one(entries if first else entries[:1], counts)


def bury(entry: Entry, counts: Counts, reason: str) -> Sorted:
    """Count an entry that was decoded and could not be applied as dead."""
    return _one_by_one(repaired([entry], (counts.done_entries, counts.done)), counts, reason)


def bury_rest(entry: Entry, counts: Counts, reason: str, rest: bytes, applied: int) -> Sorted:
    """Count the rest of the entry that is begun as dead; `rest` is its frame."""
    dead = Dead(entry[0], reason, counts.begun, _packed([*entry[1][:5], rest]), applied)
    return Sorted([entry[0]], None, counts.with_rest_dead(), [dead])


def _in_sequence(entries: list[Entry], decoded: Columns, counts: Counts) -> Sorted | None:
    """The entries if none is missing before or between them: only two numbers are compared."""
    first, last = entries[0][1], entries[-1][1]
    if (
        int(first[1]) != counts.done_entries + 1
        or int(last[1]) != counts.done_entries + len(entries)
        or int(last[3]) != counts.done + decoded.readings
    ):
        return None
    after = msgspec.structs.replace(
        counts,
        hwm=entries[-1][0].decode(),
        done_entries=int(last[1]),
        done=int(last[3]),
        applied=counts.applied + decoded.readings,
    )
    return Sorted([id_ for id_, _ in entries], decoded, after, [])


def _one_by_one(entries: list[Entry], counts: Counts, failed: str = "") -> Sorted:
    """Count entries with gaps, bad frames, or foreign fields; with `failed`, all are dead."""
    tally = {name: getattr(counts, name) for name in COUNTS}
    blocks: list[frame.RawBlock] = []
    dead: list[Dead] = []
    forget = None
    for entry in entries:
        id_, fields = entry
        tally["hwm"] = id_.decode()
        numbered = numbers(fields)
        if numbered is None:
            tally["foreign"] += 1
            tally["dead"] += 1
            tally["dead_entries"] += 1
            dead.append(Dead(id_, "not written by append", 1, _packed(fields)))
            continue
        number, reading = numbered
        if number <= tally["done_entries"] and reading <= tally["done"]:
            continue  # applied before: the group was set back
        is_tombstone = fields[4] == tombstone.FIELD
        try:
            if failed:
                raise BadFrame(failed)  # noqa: TRY301 (it is counted like a bad frame)
            if is_tombstone:
                forget, readings = Tombstone.parse(fields[5]), 0
            else:
                unpacked, readings = decode.unpack(entry)
                blocks += unpacked
            tally["applied"] += readings
        except BadFrame as error:
            follows = number == tally["done_entries"] + 1
            readings = max(0, reading - tally["done"]) if follows else int(not is_tombstone)
            dead.append(Dead(id_, str(error), readings, _packed(fields)))
            tally["dead"] += readings
            tally["dead_entries"] += 1
        tally["lost_entries"] += number - tally["done_entries"] - 1
        tally["lost"] += max(0, reading - readings - tally["done"])
        tally["done_entries"], tally["done"] = number, reading
    decoded = decode.columns(blocks) if blocks else None
    return Sorted([id_ for id_, _ in entries], decoded, Counts(**tally), dead, forget=forget)
