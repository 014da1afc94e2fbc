"""What the hub asks of Redis, on the event loop; only reads, so asking again is harmless."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from api.live.listener import every_device
from api.live.subscription import Page
from tributary.settings import Settings
from tributary.store import clusters, keys, redis_client
from tributary.store.redis_client import failures
from tributary.store.redis_url import seeds

_STEP, _LOOKS_MAX = 1000, 50  # names looked at for a token that is for few of them


class Store:
    """Reads for all listeners at once. Every method raises `Unavailable` without Redis."""

    def __init__(self, settings: Settings) -> None:
        timeout_s = settings.redis_timeout_ms / 1000
        self._partitions = settings.partitions
        kind: Any = Redis
        options: dict[str, Any] = {}
        if redis_client.has_cluster(settings):
            kind = RedisCluster
            options["startup_nodes"] = [
                ClusterNode(host, port) for host, port in clusters.known(settings.redis_url)
            ]
        self._client: Any = kind.from_url(
            seeds(settings.redis_url)[0],
            **options,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
        )

    async def epochs(self) -> list[bytes | None]:
        """A token for each partition that is another after each commit."""
        with failures():
            asked = self._client.pipeline(transaction=False)
            for partition in range(self._partitions):
                asked.hget(keys.meta(partition), "epoch")
            return cast(list[bytes | None], await asked.execute())

    async def latest(self, devices: Mapping[int, list[str]]) -> dict[str, bytes | None]:
        """The stored answers of devices, which are given by partition; one HMGET for each."""
        with failures():
            asked = self._client.pipeline(transaction=False)
            for partition, names in devices.items():
                asked.hmget(keys.latest(partition), names)
            replies = await asked.execute() if devices else []
        found: dict[str, bytes | None] = {}
        for names, values in zip(devices.values(), replies, strict=True):
            found.update(zip(names, values, strict=True))
        return found

    async def page(self, page: Page, covers: Callable[[str], bool]) -> frozenset[str]:
        """The devices that are on a page now, of those that `covers` is true for.

        Who may hear of few among many may get less than a page: the search for them is bounded.
        """
        found: list[str] = []
        first, last = b"[" + page.prefix.encode(), b"(" + page.prefix.encode() + b"\xff"
        if page.after >= page.prefix and page.after:
            first = b"(" + page.after.encode()
        step = page.limit if covers is every_device else _STEP
        for _ in range(_LOOKS_MAX):
            names = await self._names(first, last, step)
            found += filter(covers, (name.decode() for name in names))
            if len(found) >= page.limit or len(names) < step:
                break
            first = b"(" + names[-1]
        return frozenset(found[: page.limit])

    async def _names(self, first: bytes, last: bytes, limit: int) -> list[bytes]:
        with failures():
            asked = self._client.pipeline(transaction=False)
            for partition in range(self._partitions):
                asked.zrangebylex(keys.devices(partition), first, last, start=0, num=limit)
            return sorted(name for reply in await asked.execute() for name in reply)[:limit]

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
