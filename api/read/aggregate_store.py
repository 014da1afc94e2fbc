"""Reads aggregates from Redis: O(1) for a device, O(page) for a list."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import redis

from tributary.history.position import Position
from tributary.model.aggregate import Layout
from tributary.model.clock import utc_ms
from tributary.model.declared import Declared
from tributary.model.rows import Shape
from tributary.settings import Settings
from tributary.store import keys
from tributary.store import series as stored_series
from tributary.store.redis_client import failures
from tributary.store.series import Packed
from tributary.store.tombstone import parts_of

_PAGE_MIN = 100
_META = ("hwm", "entries", "done_entries", "begun_entry")


class StoredDevice(NamedTuple):
    """A device, and the body stored for `/collect`."""

    device: str
    latest: bytes


class Applied(NamedTuple):
    """Which entries of a partition the aggregates contained when they were read."""

    hwm: str  # the last entry
    done_entries: int  # its number
    pending_entries: int
    read_ms: int  # a time before that, UTC

    def complete_until_ms(self, archived: Position) -> int | None:
        """Readings accepted before this time are in a history with this position.

        None: it may lack any of them. Ids of entries begin with the time of their append.
        """
        last, hwm = parts_of(archived.entry_id), parts_of(self.hwm)
        # By number: the last entry may have been trimmed, or deleted because its device was.
        is_caught_up = last >= hwm or archived.entries == self.done_entries
        if is_caught_up and not self.pending_entries:
            return self.read_ms
        return (hwm if is_caught_up else last)[0] or None


class StoredSeries(NamedTuple):
    """One metric of a device; None: unknown."""

    latest: bytes | None  # the body stored for `/collect`
    packed: Packed
    applied: Applied


class Page(NamedTuple):
    """Part of the list; `next` is where the next page starts, None at the end."""

    devices: list[StoredDevice]
    next: str | None


class AggregateStore:
    """Reads aggregates. Every method raises `Unavailable` if Redis cannot reply."""

    def __init__(
        self, client: redis.Redis, settings: Settings, declared: Declared | None = None
    ) -> None:
        self._client = client
        self._partitions = settings.partitions
        layout = Layout(settings.parsed_windows, settings.average_over)
        self._shape = Shape(layout, declared)

    def latest(self, device: str) -> bytes | None:
        """The body stored for `/collect`, or None."""
        with failures():
            key = keys.latest(keys.partition_of(device, self._partitions))
            return self._client.hget(key, device)  # type: ignore[return-value]

    def devices(
        self, prefix: str, after: str, limit: int, covers: Callable[[str], bool] | None = None
    ) -> Page:
        """List devices in alphabetical order.

        Args:
            prefix: of their names; empty for all.
            after: start after this name; empty for the first page.
            limit: maximum number of devices in the page.
            covers: skip devices for which it is false.
        """
        names = self._names(prefix.encode(), after.encode(), max(limit + 1, _PAGE_MIN))
        wanted = list(islice(filter(covers, names), limit + 1))
        shown = wanted[:limit]
        return Page(self.latest_of(shown), shown[-1] if len(wanted) > limit else None)

    def latest_of(self, names: Sequence[str]) -> list[StoredDevice]:
        """The bodies stored for `/collect` of those devices that have one."""
        with failures():
            values = self._client.pipeline(transaction=False)
            for name in names:
                values.hget(keys.latest(keys.partition_of(name, self._partitions)), name)
            found = zip(names, values.execute() if names else [], strict=True)
        return [StoredDevice(name, latest) for name, latest in found if latest is not None]

    def device(self, device: str, metrics: Sequence[str]) -> tuple[bytes | None, list[Packed]]:
        """Read the `/collect` body of a device and the aggregates of its metrics atomically.

        Returns the packed aggregates of each metric.
        """
        partition = keys.partition_of(device, self._partitions)
        series = [(device, metric) for metric in metrics]
        found = stored_series.read(self._client, self._shape, partition, series, devices=[device])
        return found.documents[0], found.series

    def series(self, device: str, metric: str) -> StoredSeries:
        """Read the aggregates of a series, and which entries they contain, atomically."""
        partition, read_ms = keys.partition_of(device, self._partitions), utc_ms()
        found = stored_series.read(
            self._client, self._shape, partition, [(device, metric)], devices=[device], fields=_META
        )
        hwm, *counts = found.fields
        entries, done, begun = (int(count or 0) for count in counts)
        pending = max(0, entries - done) + (begun > 0)
        applied = Applied((hwm or b"0-0").decode(), done, pending, read_ms)
        return StoredSeries(found.documents[0], found.series[0], applied)

    def _names(self, prefix: bytes, after: bytes, page: int) -> Iterator[str]:
        """Iterate over the names of devices in order, reading page by page."""
        last = b"(" + prefix + b"\xff"
        first = b"(" + after if after and after >= prefix else b"[" + prefix
        while True:
            with failures():
                pages = self._client.pipeline(transaction=False)
                for partition in range(self._partitions):
                    pages.zrangebylex(keys.devices(partition), first, last, start=0, num=page)
                names = sorted(name for part in pages.execute() for name in part)[:page]
            yield from (name.decode() for name in names)
            if len(names) < page:
                return
            first = b"(" + names[-1]
