"""Tombstones: the entries of a stream that say which devices to forget, and their records.

A tombstone is the entry `e` number, `n` number of the last reading before it, `f` text; it
contains no reading. Everything that reads the stream in order forgets the devices when it
reaches the entry, so what was recorded before is gone and what was recorded after counts.
The text consists of lines: id of the request, `before` (empty, or a time), devices.

The hash `tributary:{p}:forgets` has a record by entry id until nothing names the devices any
more: the stage, then the text. The commit that applies a tombstone sets the stage `applied` and
leaves in the record only the devices that were forgotten.
"""

from __future__ import annotations

from typing import NamedTuple, Self

from tributary.errors import BadFrame

DEVICES_MAX = 500  # per tombstone: bounds the time that its commit takes in Redis
FIELD = b"f"
NAMES = [b"e", b"n", FIELD]  # of the fields of the entry

Stage = str
ASKED: Stage = "asked"  # the aggregator has not reached the entry
APPLIED: Stage = "applied"  # the aggregates are gone
ERASED: Stage = "erased"  # nothing names the devices but files that are rewritten now


class Tombstone(NamedTuple):
    """The devices to forget."""

    request: str  # id of the command or job that asked for it
    devices: tuple[str, ...]
    before: str = ""  # RFC 3339 UTC with ms: a device with a reading at or after it is kept

    def packed(self) -> bytes:
        """The field `f`."""
        return "\n".join((self.request, self.before, *self.devices)).encode()

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Parse the field `f`.

        Raises:
            BadFrame: it is not the text of a tombstone.
        """
        try:
            request, before, *devices = text.decode().split("\n")
        except ValueError:
            raise BadFrame("not a tombstone: the text is not lines of UTF-8") from None
        return cls(request, tuple(filter(None, devices)), before)


class Record(NamedTuple):
    """A tombstone that is not finished."""

    partition: int
    entry_id: str
    stage: Stage
    tombstone: Tombstone

    @classmethod
    def parse(cls, partition: int, entry_id: bytes, value: bytes) -> Self:
        """Parse a field and its value of the hash `forgets`."""
        stage, _, text = value.partition(b"\n")
        return cls(partition, entry_id.decode(), stage.decode(), Tombstone.parse(text))

    def packed(self) -> bytes:
        """The value in the hash."""
        return self.stage.encode() + b"\n" + self.tombstone.packed()

    @property
    def order(self) -> tuple[int, int]:
        """Its place in the stream."""
        return parts_of(self.entry_id)


def parts_of(entry_id: str) -> tuple[int, int]:
    """The id of a stream entry, comparable."""
    ms, _, number = entry_id.partition("-")
    return int(ms), int(number)


def position(entries: list[tuple[bytes, list[bytes]]]) -> int:
    """The index of the first tombstone among entries; their number if there is none."""
    for index, (_, fields) in enumerate(entries):
        if fields[0::2] == NAMES:
            return index
    return len(entries)
