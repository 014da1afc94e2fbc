"""What the read side asks of Redis; O(1) for a device, O(page) for a list."""

from __future__ import annotations

from typing import NamedTuple

import redis

from tributary import keys
from tributary.connection import failures
from tributary.settings import Settings


class Listed(NamedTuple):
    """A device in the list, with its stored answer."""

    device: str
    latest: bytes


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

    def devices(self, prefix: str, after: str, limit: int) -> list[Listed]:
        """Up to `limit` devices that begin with `prefix` and come after `after`, in order."""
        first = b"(" + after.encode() if after >= prefix and after else b"[" + prefix.encode()
        last = b"(" + prefix.encode() + b"\xff"
        with failures():
            pages = self._client.pipeline(transaction=False)
            for partition in range(self._partitions):
                pages.zrangebylex(keys.devices(partition), first, last, start=0, num=limit)
            names = sorted(name for page in pages.execute() for name in page)[:limit]
            values = self._client.pipeline(transaction=False)
            for name in names:
                partition = keys.partition_of(name.decode(), self._partitions)
                values.hget(keys.latest(partition), name)
            found = zip(names, values.execute() if names else [], strict=True)
        return [Listed(name.decode(), latest) for name, latest in found if latest is not None]

    def series(self, device: str, metrics: list[str]) -> list[tuple[bytes | None, bytes | None]]:
        """Packed state and closed slots of some metrics of a device, as of one moment."""
        partition = keys.partition_of(device, self._partitions)
        fields = [keys.series(device, metric) for metric in metrics]
        with failures():
            both = self._client.pipeline(transaction=True)
            both.hmget(keys.state(partition), fields)
            both.hmget(keys.windows(partition), fields)
            states, rings = both.execute()
        return list(zip(states, rings, strict=True))
