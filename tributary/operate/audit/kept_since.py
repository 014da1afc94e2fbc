"""Since when slots of a metric are kept, if `keep` in the catalogue of metrics has changed. Pure.

The aggregator and the job `archive` note in `meta` what they leave out, so that an audit needs no
catalogue: it compares what must be there, whoever left something out, and when.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tributary.store import keys
from tributary.store.tombstone import parts_of


class KeptSince(NamedTuple):
    """The fields of `meta` of a partition."""

    meta: Mapping[str, bytes]
    margin_ms: int  # how far ahead of its arrival a reading may be

    def windows_ms(self, metric: str) -> int:
        """The event time from which on windows have every reading."""
        begun_ms = self._number(keys.windows_since(metric))
        freed_ms = self._number("rings_freed_ms")
        return max(begun_ms and begun_ms + self.margin_ms, freed_ms and freed_ms + self.margin_ms)

    def history_ms(self, metric: str) -> int:
        """The event time from which on the history has every reading that is old enough."""
        entry_id = self.meta.get(keys.left_out(metric))
        return 0 if entry_id is None else parts_of(entry_id.decode())[0] + self.margin_ms

    def _number(self, field: str) -> int:
        return int(self.meta.get(field) or 0)
