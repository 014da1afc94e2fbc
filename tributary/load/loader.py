"""Sends files to one server in batches, with a journal to resume an interrupted load.

Batch boundaries depend only on the content, and the `Idempotency-Key` of a batch is a hash of
the file up to its end: a batch that was sent but not journalled is the same the next time.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from tributary.client import ServerError, Tributary
from tributary.errors import Misconfigured, Refused
from tributary.load import content as contents
from tributary.load.journal import Entry, Journal
from tributary.load.row import Row
from tributary.load.survey import Source, rows
from tributary.load.table import Lines
from tributary.load.tally import Tally
from tributary.model import reading
from tributary.model.clock import utc_ms

BATCH_READINGS = 1000
_BATCH_BYTES = 512 * 1024  # half of the default body limit of a server
_DEVICE_TIMEOUT_S = 3.0
_DEVICE_PAUSE_S = 0.1

_encode = msgspec.json.Encoder().encode


class Start(NamedTuple):
    """Where to continue with a file.

    `entry` is the journal entry of this load so far, to be written under `name`. `before` is
    that of an earlier load of this content or its beginning; `is_forgotten` means that the
    server has none of its devices.
    """

    name: str
    size_bytes: int
    entry: Entry
    digest: Any
    before: Entry | None
    at_start: Entry | None  # the current entry under `name`
    is_forgotten: bool

    @property
    def is_done(self) -> bool:
        """Whether the whole file was loaded before."""
        return self.entry.done_bytes == self.size_bytes


class Loader:
    """Loads files into one server. With `again`, also files that were loaded before."""

    def __init__(self, client: Tributary, journal: Journal, *, again: bool = False) -> None:
        self._client = client
        self._journal = journal
        self._again = again
        self.devices: list[str] = []  # some of the loaded devices

    def start(self, source: Source) -> Start:
        """Determine which part of a file the server already has.

        Raises:
            Misconfigured: the file or the journal cannot be read.
            Unavailable: the server is unavailable.
        """
        entries = self._journal.entries()
        content = contents.fingerprint(source.content, [e.done_bytes for e in entries.values()])
        name = content.sha256[:32]
        before = _matching_entry(entries, name, content)
        is_forgotten = before is not None and not self._again and self._is_forgotten(before)
        entry = Entry(
            path=str(source.content.path.resolve() / source.content.member),
            plan_sha256=_plan_sha256(source),
        )
        digest = hashlib.sha256()
        if before is not None and (self._again or is_forgotten):
            # The server must not mistake an intended repetition for a retry.
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
        """Send the rows of a file from `start` on; `on_progress` is called with the bytes done.

        Raises:
            Unavailable: the server is unavailable; what it has accepted is in the journal.
            Refused: the token is invalid.
            Misconfigured: the file or the journal cannot be read or written.
        """
        entry = start.entry
        tally.before += entry.rows
        if start.is_done:
            self._note_devices(entry)
            return
        lines = Lines(
            contents.lines(source.content, entry.done_bytes),
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
        tally.add_receipt(source.name, good, receipt)
        entry.add_devices(
            {str(row.reading.get("device", reading.DEFAULT_DEVICE)) for row in good if row.reading}
        )
        entry.rows += receipt.accepted
        entry.done_bytes, entry.done_lines = lines.offset_bytes, lines.number
        entry.sha256, entry.loaded_at = content, reading.rfc3339(utc_ms())
        self._journal.write(start.name, entry)

    def _check_unchanged(self, start: Start) -> None:
        entries = self._journal.entries()
        if entries.get(start.name) != start.at_start:
            raise Misconfigured(
                f"{start.entry.path}: another load has sent part of this file; run the command again"
            )

    def _is_forgotten(self, entry: Entry) -> bool:
        """Whether the server has none of the devices: it is another server, or was emptied.

        A load that has just ended may not be applied yet, so this waits for a while.
        """
        deadline_s = time.monotonic() + _DEVICE_TIMEOUT_S
        while entry.devices and not any(self._has(device) for device in entry.devices):
            if time.monotonic() > deadline_s:
                return True
            time.sleep(_DEVICE_PAUSE_S)
        return False

    def _has(self, device: str) -> bool:
        try:
            self._client.collect(device)
        except Refused as refusal:
            return refusal.code != "unknown_device"
        except ServerError:
            return True  # it serves no /collect, so trust the journal
        return True


def _matching_entry(
    entries: dict[str, Entry], name: str, content: contents.Fingerprint
) -> Entry | None:
    """The entry of this content, or else the one with the longest beginning of it."""
    matching = {
        other: entry
        for other, entry in entries.items()
        if entry.done_bytes in content.beginnings
        and content.beginnings[entry.done_bytes].hexdigest() == entry.sha256
    }
    longest = max(matching.values(), key=lambda entry: entry.done_bytes, default=None)
    return matching.get(name, longest)


def _plan_sha256(source: Source) -> str:
    return hashlib.sha256(repr(source.plan.essence).encode()).hexdigest()[:16]


def _batches(source: Source, lines: Lines, tally: Tally) -> Iterator[list[Row]]:
    """Rows in batches that are the same whenever they begin at the same position."""
    batch: list[Row] = []
    size_bytes = 0
    for row in rows(source, lines):
        tally.add_row(source.name, row)
        batch.append(row)
        size_bytes += len(_encode(row.reading))
        if len(batch) == BATCH_READINGS or size_bytes > _BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    yield batch  # even if empty: the last lines are done, too
