"""How far a stream is in the history. It imports no database, since every API process needs it."""

from __future__ import annotations

from typing import NamedTuple


class Position(NamedTuple):
    """How far the stream of a partition is in the history."""

    entry_id: str = "0-0"  # the last entry
    entries: int = 0  # its number (e)
    readings: int = 0  # the number of its last reading (n)


class Gap(NamedTuple):
    """Entries that were trimmed before they were read."""

    from_ms: int  # times of the entries around it, UTC
    to_ms: int
    entries: int
    readings: int
