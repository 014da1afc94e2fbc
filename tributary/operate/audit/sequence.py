"""Whether the entries of a stream are as they were written, and whether the counts add up. Pure.

A flipped bit in a file of Redis that has no checksums can change a number or a name of an entry, or
move it to another key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from tributary.operate.audit.aggregates import Finding
from tributary.operate.audit.entries import parsed

STORE = "readings"  # the key with the stream
# What the aggregator has done with the readings up to `done`; foreign entries have no numbers.
_PARTS = ("applied", "late", "dead", "lost", "begun")


class Sequence:
    """The entries of a partition in order; each follows the one before it.

    Streams are trimmed at the beginning, so entries are missing between others only if they were
    counted as lost, or were deleted because they named a forgotten device.
    """

    def __init__(self, report: Callable[[Finding], None]) -> None:
        self._report = report
        self._last: tuple[int, int | None] | None = None
        self._gaps: list[tuple[bytes, int]] = []  # the entry behind each, and how many are missing

    def add(self, id_: bytes, fields: Mapping[bytes, bytes], readings: int | None) -> None:
        """Compare the numbers of the next entry; `readings`: in its frame, None if it is damaged."""
        number, reading = (_number(fields.get(name, b"")) for name in (b"e", b"n"))
        last, self._last = self._last, (self._last if number is None else (number, reading))
        if number is None or reading is None:
            self._report(Finding(STORE, id_.decode(), "two numbers", _shown(fields)))
        elif last is not None and number <= last[0]:
            self._report(Finding(STORE, id_.decode(), f"number {last[0] + 1}", number))
        elif last is not None and number > last[0] + 1:
            self._gaps.append((id_, number - last[0] - 1))
        elif last is not None and last[1] is not None and readings is not None:
            expected = last[1] + readings
            if reading != expected:
                self._report(Finding(STORE, id_.decode(), f"reading {expected}", reading))

    def damaged(self, id_: bytes, reason: str) -> None:
        """Report an entry that was applied, and whose frame is not as it was then."""
        self._report(Finding(STORE, id_.decode(), "a frame", reason))

    def end(self, meta: Mapping[bytes, bytes], first: bytes | None, deleted: int) -> None:
        """Compare the counts with each other, and with how many entries are missing.

        Args:
            meta: the counts of the partition.
            first: the first entry of the stream now; what is before it was trimmed meanwhile.
            deleted: entries that named forgotten devices.
        """
        known = int(meta.get(b"lost_entries", 0)) + deleted
        behind = parsed(first or b"0-0")
        missing = sum(size for id_, size in self._gaps if first and parsed(id_) > behind)
        if missing > known:
            expected = f"at most {known} missing entries"
            self._report(Finding(STORE, "", expected, f"{missing} missing"))
        for finding in contradictions(meta):
            self._report(finding)


def contradictions(meta: Mapping[bytes, bytes]) -> Iterator[Finding]:
    """The counts in `meta` that contradict each other."""
    counts = {name.decode(): int(value) for name, value in meta.items() if value.isdigit()}
    done = counts.get("done", 0)
    parts = sum(counts.get(name, 0) for name in _PARTS) - counts.get("foreign", 0)
    if done != parts:
        yield Finding("meta", "done", parts, done)
    for done_name, name in (("done", "accepted"), ("done_entries", "entries")):
        if counts.get(done_name, 0) > counts.get(name, 0):
            expected = f"at least {counts[done_name]}"
            yield Finding("meta", name, expected, counts.get(name))


def _number(text: bytes) -> int | None:
    return int(text) if text.isdigit() else None


def _shown(fields: Mapping[bytes, bytes]) -> str:
    return " ".join(f"{name!r} {value[:20]!r}" for name, value in fields.items())
