"""The servers behind a Redis URL: one, or the nodes of a Redis Cluster.

All keys of a partition share a hash tag, so each partition lives on one node, and a connection
to that node is all that a partition needs: nothing else in Tributary knows of clusters.
https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from redis.crc import key_slot

from tributary.errors import ConnectionGone, TributaryError
from tributary.store.pipe import Pipe
from tributary.store.redis_url import seeds


class Range(NamedTuple):
    """Slots, first and last included, and the URL of the node that holds them."""

    first: int
    last: int
    url: str


class Nodes:
    """Finds the server that holds a key; what it has learnt of the others helps if one dies."""

    def __init__(self, url: str, timeout_ms: int) -> None:
        self._seeds = seeds(url)
        self._timeout_s = timeout_ms / 1000
        self._others: list[str] = []
        self.is_cluster = False  # as far as known

    async def open(self, key: str) -> Pipe:
        """A connection to the server that holds a key.

        Raises:
            ConnectionGone: it cannot be reached, or nobody holds the slot of the key.
            Misconfigured: the URL is not one of Redis, or the login is refused.
        """
        pipe, ranges = await self._ask()
        if not ranges:
            return pipe
        pipe.close()
        return await Pipe.open(_url_of(key, ranges))

    async def urls(self, keys: list[str]) -> list[str]:
        """The URL of the server that holds each key.

        Raises:
            ConnectionGone, Misconfigured: as `open`.
        """
        pipe, ranges = await self._ask()
        pipe.close()
        return [_url_of(key, ranges) if ranges else self._seeds[0] for key in keys]

    async def _ask(self) -> tuple[Pipe, list[Range]]:
        """A connection to any node, and who holds which slots; no ranges: it is the only one."""
        failure: ConnectionGone | None = None
        for url in (*self._seeds, *self._others):
            try:
                pipe = await Pipe.open(url)
                with contextlib.ExitStack() as if_it_fails:
                    if_it_fails.callback(pipe.close)
                    ranges = await self._ranges(pipe, url)
                    if_it_fails.pop_all()
            except ConnectionGone as error:
                failure = failure or error
                continue
            self._others = sorted({held.url for held in ranges} - {*self._seeds})
            return pipe, ranges
        raise failure or ConnectionGone

    async def _ranges(self, pipe: Pipe, url: str) -> list[Range]:
        try:
            async with asyncio.timeout(self._timeout_s):
                reply = await pipe.call("CLUSTER", "SLOTS")
        except TimeoutError:
            raise ConnectionGone("Redis does not answer in time") from None
        except ConnectionGone:
            raise
        except TributaryError:  # no cluster, or no permission to ask: then it is the only one
            self.is_cluster = False
            return []
        self.is_cluster = True
        return [
            Range(first, last, _with_place(url, host.decode(), port))
            for first, last, (host, port, *_), *_ in reply
        ]


def _url_of(key: str, ranges: list[Range]) -> str:
    slot = key_slot(key.encode())
    for first, last, url in ranges:
        if first <= slot <= last:
            return url
    raise ConnectionGone(f"no node of the cluster holds slot {slot}, that of {key}")


def _with_place(url: str, host: str, port: int) -> str:
    """The URL with another host and port; a node that does not know its own host keeps ours."""
    parts = urlsplit(url)
    login, at, _ = parts.netloc.rpartition("@")
    host = host or parts.hostname or "127.0.0.1"
    shown = f"[{host}]" if ":" in host else host
    return urlunsplit(parts._replace(netloc=f"{login}{at}{shown}:{port}"))
