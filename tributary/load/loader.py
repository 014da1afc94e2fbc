"""Files into one server: in batches, remembered in the journal, resumed where they stopped.

Batches are cut by the content alone, and carry an `Idempotency-Key` made of everything up to
their end: a batch that was sent but not remembered is the same batch the next time.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from tributary.client import ServerFault, Tributary
from tributary.errors import Misconfigured, Refused
from tributary.load import file
from tributary.load.file_records import Lines
from tributary.load.journal import Entry, Journal
from tributary.load.row import Row
from tributary.load.source import Source, rows
from tributary.load.tally import Tally
from tributary.model import reading

BATCH_READINGS = 1000
_BATCH_BYTES = 512 * 1024  # half of what a server takes by default
_DEVICE_PATIENCE_S = 3.0
_DEVICE_PAUSE_S = 0.1

_encode = msgspec.json.Encoder().encode


class Start(NamedTuple):
    """Where to go on with a file.

    `entry` is what will be remembered under `name`, as far as it is true already. `before`
    tells of an earlier load of this content or of its beginning; with `is_forgotten` the
    server knows nothing of it.
    """

    name: str
    size_bytes: int
    entry: Entry
    digest: Any
    before: Entry | None
    at_start: Entry | None  # what stands under `name` now
    is_forgotten: bool

    @property
    def is_done(self) -> bool:
        """Whether the whole file was loaded before."""
        return self.entry.done_bytes == self.size_bytes


class Loader:
    """Loads files into one server. With `again`, also what was loaded before."""

    def __init__(self, client: Tributary, journal: Journal, *, again: bool = False) -> None:
        self._client = client
        self._journal = journal
        self._again = again
        self.devices: list[str] = []  # some of those the server has from us

    def start(self, source: Source) -> Start:
        """Find out what of a file the server has already.

        Raises:
            Misconfigured: the file or the journal cannot be read.
            Unavailable: the server cannot be asked.
        """
        entries = self._journal.entries()
        content = file.fingerprint(source.path, [e.done_bytes for e in entries.values()])
        name = content.sha256[:32]
        before = _fitting(entries, name, content)
        is_forgotten = before is not None and not self._again and self._is_forgotten(before)
        entry = Entry(path=str(source.path.resolve()), plan_sha256=_plan_sha256(source))
        digest = hashlib.sha256()
        if before is not None and (self._again or is_forgotten):
            # The server must not take what is sent again on purpose for a repetition.
            entry.round = before.round + (1 if self._again else 0)
        elif before is not None:
            entry = msgspec.structs.replace(
                before, path=entry.path, plan_sha256=entry.plan_sha256, devices=[*before.devices]
            )
            digest = content.beginnings[before.done_bytes]
        at_start = entries.get(name)
        return Start(name, content.size_bytes, entry, digest, before, at_start, is_forgotten)

    def load(
        self, source: Source, start: Start, tally: Tally, on_progress: Callable[[int], None]
    ) -> None:
        """Send the rows of a file from `start` on; `on_progress` gets the bytes that are done.

        Raises:
            Unavailable: the server stays away; what it has accepted is in the journal.
            Refused: it lets nobody in with this token.
            Misconfigured: the file or the journal cannot be read or written.
        """
        entry = start.entry
        tally.before += entry.rows
        if start.is_done:
            self._note_devices(entry)
            return
        lines = Lines(
            file.lines(source.path, entry.done_bytes),
            offset_bytes=entry.done_bytes,
            number=entry.done_lines,
            digest=start.digest,
        )
        with self._journal.locked(start.name):
            self._check_unchanged(start)
            for batch in _batches(source, lines, tally):
                self._send(source, batch, lines, start, tally)
                on_progress(lines.offset_bytes)
        self._note_devices(entry)

    def _note_devices(self, entry: Entry) -> None:
        self.devices += [device for device in entry.devices if device not in self.devices]

    def _send(
        self, source: Source, batch: list[Row], lines: Lines, start: Start, tally: Tally
    ) -> None:
        entry, content = start.entry, lines.digest.hexdigest()
        good = [row for row in batch if row.reading is not None]
        whole = f"{entry.round} {entry.plan_sha256} {content}"
        receipt = self._client.record_all(
            [row.reading for row in good if row.reading is not None],
            key=hashlib.sha256(whole.encode()).hexdigest()[:32],
        )
        tally.enter_receipt(source.path.name, good, receipt)
        entry.add_devices(
            {str(row.reading.get("device", reading.DEFAULT_DEVICE)) for row in good if row.reading}
        )
        entry.rows += receipt.accepted
        entry.done_bytes, entry.done_lines = lines.offset_bytes, lines.number
        entry.sha256, entry.loaded_at = content, reading.rfc3339(time.time_ns() // 1_000_000)
        self._journal.write(start.name, entry)

    def _check_unchanged(self, start: Start) -> None:
        entries = self._journal.entries()
        if entries.get(start.name) != start.at_start:
            raise Misconfigured(
                f"{start.entry.path}: another load has just sent some of it; run this one again"
            )

    def _is_forgotten(self, entry: Entry) -> bool:
        """Whether the server knows none of the devices: it is another one, or was emptied.

        A load that has just ended may not be applied yet, so it is given some time.
        """
        deadline_s = time.monotonic() + _DEVICE_PATIENCE_S
        while entry.devices and not any(self._knows(device) for device in entry.devices):
            if time.monotonic() > deadline_s:
                return True
            time.sleep(_DEVICE_PAUSE_S)
        return False

    def _knows(self, device: str) -> bool:
        try:
            self._client.collect(device)
        except Refused as refusal:
            return refusal.code != "unknown_device"
        except ServerFault:
            return True  # no read side there, so nothing speaks against the journal
        return True


def _fitting(entries: dict[str, Entry], name: str, content: file.Fingerprint) -> Entry | None:
    """The entry of this very content, or the one that tells of most of its beginning."""
    fitting = {
        other: entry
        for other, entry in entries.items()
        if entry.done_bytes in content.beginnings
        and content.beginnings[entry.done_bytes].hexdigest() == entry.sha256
    }
    longest = max(fitting.values(), key=lambda entry: entry.done_bytes, default=None)
    return fitting.get(name, longest)


def _plan_sha256(source: Source) -> str:
    return hashlib.sha256(repr(source.plan.essence).encode()).hexdigest()[:16]


def _batches(source: Source, lines: Lines, tally: Tally) -> Iterator[list[Row]]:
    """Rows in batches that are the same whenever one begins at the same place."""
    batch: list[Row] = []
    size_bytes = 0
    for row in rows(source, lines):
        tally.enter_row(source.path.name, row)
        batch.append(row)
        size_bytes += len(_encode(row.reading))
        if len(batch) == BATCH_READINGS or size_bytes > _BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    yield batch  # empty or not: the last lines are done as well
