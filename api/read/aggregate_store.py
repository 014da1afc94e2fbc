"""What the read side asks of Redis; O(1) for a device, O(page) for a list."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import redis

from tributary.settings import Settings
from tributary.store import keys
from tributary.store.redis_client import failures

Packed = tuple[bytes | None, bytes | None]  # state and closed slots of a series
_PAGE_MIN = 100


class Listed(NamedTuple):
    """A device in the list, with its stored answer."""

    device: str
    latest: bytes


class Page(NamedTuple):
    """Part of the list; `next` is where the following part begins, None at the end."""

    devices: list[Listed]
    next: str | None


class Store:
    """Reads of the aggregates. Every method raises `Unavailable` when Redis cannot answer."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._partitions = settings.partitions

    def latest(self, device: str) -> bytes | None:
        """The stored answer of a device, or None."""
        with failures():
            key = keys.latest(keys.partition_of(device, self._partitions))
            return self._client.hget(key, device)  # type: ignore[return-value]

    def devices(
        self, prefix: str, after: str, limit: int, covers: Callable[[str], bool] | None = None
    ) -> Page:
        """Up to `limit` devices that begin with `prefix` and come after `after`, in order.

        Args:
            prefix: of their names; empty for all.
            after: name that comes before the first of them; empty to begin at the beginning.
            limit: most devices in the page.
            covers: if given, others than those it is true for are passed over.
        """
        names = self._names(prefix.encode(), after.encode(), max(limit + 1, _PAGE_MIN))
        wanted = list(islice(filter(covers, names), limit + 1))
        shown = wanted[:limit]
        with failures():
            values = self._client.pipeline(transaction=False)
            for name in shown:
                values.hget(keys.latest(keys.partition_of(name, self._partitions)), name)
            found = zip(shown, values.execute() if shown else [], strict=True)
        listed = [Listed(name, latest) for name, latest in found if latest is not None]
        return Page(listed, shown[-1] if len(wanted) > limit else None)

    def device(self, device: str, metrics: Sequence[str]) -> tuple[bytes | None, list[Packed]]:
        """The stored answer of a device, and state and closed slots of metrics, as of one moment.

        Both are packed, a pair for each metric.
        """
        partition = keys.partition_of(device, self._partitions)
        fields = [keys.series(device, metric) for metric in metrics]
        with failures():
            all_three = self._client.pipeline(transaction=True)
            all_three.hget(keys.latest(partition), device)
            if fields:
                all_three.hmget(keys.state(partition), fields)
                all_three.hmget(keys.windows(partition), fields)
            latest, *both = all_three.execute()
        return latest, list(zip(*both, strict=True)) if both else []

    def _names(self, prefix: bytes, after: bytes, page: int) -> Iterator[str]:
        """Names of devices in order, read page by page as they are asked for."""
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
