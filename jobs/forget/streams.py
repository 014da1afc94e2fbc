"""Removes the entries of streams that name forgotten devices."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
import redis

from tributary import failpoints
from tributary.errors import BadFrame, Unavailable
from tributary.model import frame
from tributary.model.frame import RawBlock
from tributary.operate.forgetting import entries
from tributary.operate.forgetting.entries import Entry
from tributary.store import keys, scripts
from tributary.store.redis_client import failures
from tributary.store.scripts import Command
from tributary.store.tombstone import parts_of

_ENTRIES_PER_CALL = 500  # about 3 ms of Redis
_BYTES_PER_CALL = 1_048_576

# Device → id of its last tombstone: only what was recorded before it is deleted.
Limits = Mapping[str, tuple[int, int]]


class Erased(NamedTuple):
    """What was removed."""

    entries: int = 0
    readings_of_others: int = 0  # in the same entries; they were applied
    dead_entries: int = 0  # changed or removed


class Change(NamedTuple):
    """What becomes of an entry that names a device."""

    others: int = 0  # readings of other devices that go with it
    rest: tuple[int, bytes] | None = None  # of a dead entry: readings and packed fields left


Decide = Callable[[bytes, list[bytes]], Change | None]


def erase(client: redis.Redis, partition: int, limits: Limits) -> Erased:
    """Remove every entry before the tombstones that names the devices, and the tombstones.

    Raises:
        Unavailable: Redis is, or another job does the same.
    """

    def of_readings(id_: bytes, fields: list[bytes]) -> Change | None:
        entry = entries.parse(id_, fields)
        gone = named(entry, limits)
        return Change(entry.others(gone)) if gone else None

    def of_dead(_id: bytes, fields: list[bytes]) -> Change | None:
        held = dict(zip(fields[0::2], fields[1::2], strict=True))
        entry_id, entry = entries.buried(held)
        gone = named(entry, limits, entry_id)
        return Change(rest=_without(held[b"fields"], entry, gone)) if gone else None

    readings = _Copy(client, keys.readings(partition), of_readings)
    readings.replace((keys.meta(partition), keys.holes(partition)))
    dead = _Copy(client, keys.dead(partition), of_dead)
    dead.replace(())
    return Erased(readings.removed, readings.others, dead.removed + dead.changed)


def named(entry: Entry, limits: Limits, entry_id: str = "") -> frozenset[str]:
    """The devices that an entry may name and that were forgotten after it."""
    id_ = parts_of(entry_id or entry.id)
    mine = entry.readings.keys() & limits.keys()
    if entry.unknown:
        mine |= {device for device in limits if device.encode() in entry.unknown}
    return frozenset(device for device in mine if id_ <= limits[device])


class _Copy:
    """A stream, copied without some entries; nothing is written if none of them is in it."""

    def __init__(self, client: redis.Redis, stream: str, decide: Decide) -> None:
        self._client = client
        self._stream, self._copy = stream, keys.copy(stream)
        self._decide = decide
        self.removed = self.changed = self.others = 0
        self._entries, self._top, self._after = 0, "", "0-0"
        self._first_out, self._last_out = "0-0", "0-0"

    def replace(self, names: tuple[str, ...]) -> None:
        """Copy the stream and replace it; `names`: meta and holes, of a stream of readings."""
        with failures():
            self._client.delete(self._copy)
        if not any(self._decide(*entry) for entry in entries.pages(self._client, self._stream)):
            return
        while True:
            self._copy_pages()
            failpoints.reach("after_forget_copy")
            readings: tuple[str, ...] = ()
            if names:
                epoch = f"forget:{secrets.token_hex(8)}"
                counts = (str(self.removed), str(self.others))
                readings = (epoch, self._first_out, *counts)
            command = scripts.swap_stream(
                (self._stream, self._copy, *names),
                entries=self._entries, top=self._top, after=self._after,
                tail_max=_ENTRIES_PER_CALL, deleted=self._last_out, readings=readings,
            )  # fmt: skip
            if self._call(command) == b"ok":
                return

    def _copy_pages(self) -> None:
        """Copy what follows the last entry that was read."""
        ids: list[str] = []
        out: list[str] = []
        changed: list[str | bytes] = []
        size_bytes = 0
        for id_, fields in entries.pages(self._client, self._stream, f"({self._after}"):
            ids.append(id_.decode())
            size_bytes += sum(map(len, fields))
            change = self._decide(id_, fields)
            if change is not None and change.rest is None:
                out.append(ids[-1])
                self.others += change.others
            elif change is not None and change.rest is not None:
                changed += (id_, str(change.rest[0]), change.rest[1])
            if len(ids) == _ENTRIES_PER_CALL or size_bytes > _BYTES_PER_CALL:
                self._copy_some(ids, out, changed)
                ids, out, changed, size_bytes = [], [], [], 0
        if ids:
            self._copy_some(ids, out, changed)

    def _copy_some(self, ids: list[str], out: list[str], changed: list[str | bytes]) -> None:
        command = scripts.copy_entries(
            self._stream, self._copy, entries=self._entries, top=self._top,
            first=ids[0], last=ids[-1], out=out, changed=changed,
        )  # fmt: skip
        reply: Any = self._call(command)
        self._entries, self._top = int(reply[0]), reply[1].decode()
        self._after = ids[-1]
        self.removed += len(out)
        self.changed += len(changed) // 3
        if out:
            self._first_out = out[0] if self._first_out == "0-0" else self._first_out
            self._last_out = out[-1]

    def _call(self, command: Command) -> Any:
        with failures():
            reply = scripts.run(self._client, command)
        if reply == b"changed":
            raise Unavailable(f"another process copies {self._stream}; this is tried again")
        return reply


def _without(packed: bytes, entry: Entry, gone: frozenset[str]) -> tuple[int, bytes] | None:
    """The readings left in the fields of a dead entry, and these; None if all of it must go."""
    if entry.unknown or entry.is_tombstone:
        return None
    fields = msgspec.msgpack.decode(packed, type=list[Any])
    try:
        blocks = [_rest(block, gone) for block in frame.unpack(fields[5])]
    except (BadFrame, LookupError):
        return None
    left = [block for block in blocks if block is not None]
    fields[5] = frame.pack(left)
    return (frame.readings_in(left), msgspec.msgpack.encode(fields)) if left else None


def _rest(block: RawBlock, gone: frozenset[str]) -> RawBlock | None:
    """A block without the readings of some devices; None if none are left."""
    device, times_ms, metrics = block
    if isinstance(device, str):
        return None if device in gone else block
    rows = [row for row, each in enumerate(device) if each not in gone]

    def select(column: Any) -> bytes:
        return b"".join(column[8 * row : 8 * row + 8] for row in rows)

    values: dict[str, float | bytes] = {name: select(column) for name, column in metrics.items()}
    return ([device[row] for row in rows], select(times_ms), values) if rows else None


def prune_holes(client: redis.Redis, partition: int) -> None:
    """Drop the record of a hole once the stream has only later entries."""
    with failures():
        last: Any = client.hget(keys.holes(partition), "last")
        if last is None:
            return
        first: Any = client.xrange(keys.readings(partition), "-", "+", count=1)
        if not first or parts_of(first[0][0].decode()) > parts_of(last.decode()):
            client.delete(keys.holes(partition))
