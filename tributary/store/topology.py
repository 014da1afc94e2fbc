"""The servers behind a Redis URL: one, the master behind sentinels, or the nodes of a cluster.

All keys of a partition have the same hash tag, so a partition is on one node, and one connection
to that node is all that a partition needs. Discovery is here, once for asyncio (`Nodes`) and
once for redis-py; elsewhere a cluster matters only where one command cannot span partitions.
https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.crc import key_slot
from redis.retry import Retry

from tributary.errors import ConnectionGone, Misconfigured, TributaryError, Unavailable
from tributary.store import keys, sentinel
from tributary.store.pipe import Pipe, checked
from tributary.store.redis_url import address, redacted, seeds, with_address

T = TypeVar("T")


class Range(NamedTuple):
    """Slots, first and last included, and the URL of the node that holds them."""

    first: int
    last: int
    url: str


class Nodes:
    """Finds the server that holds a key; any node seen before can be queried if others are down."""

    def __init__(self, url: str, timeout_ms: int) -> None:
        self._watch = sentinel.watch(url)  # None: the URL names no sentinels
        self._seeds = seeds(url)
        self._timeout_s = timeout_ms / 1000
        self._others: list[str] = []
        self.is_cluster = False  # at the last discovery

    async def open(self, key: str) -> Pipe:
        """Connect to the server that holds a key.

        Raises:
            ConnectionGone: it is unreachable, or no node holds the slot of the key.
            Misconfigured: the URL is not a Redis URL.
            NotPermitted: the login was rejected.
            Unavailable: the server that the sentinels name is not a master, or they name none.
        """
        if self._watch is not None:
            return await self._open_master(await self._watch.find_url())
        pipe, ranges = await self._discover()
        if not ranges:
            return pipe
        pipe.close()
        return await Pipe.open(_url_of(key, ranges))

    async def urls(self, keys: list[str]) -> list[str]:
        """The URL of the server that holds each key.

        Raises:
            ConnectionGone, Misconfigured, NotPermitted, Unavailable: as `open`.
        """
        if self._watch is not None:
            url = await self._watch.find_url()
            (await self._open_master(url)).close()
            return [url] * len(keys)
        pipe, ranges = await self._discover()
        pipe.close()
        return [_url_of(key, ranges) if ranges else self._seeds[0] for key in keys]

    async def verify(self, pipe: Pipe, url: str) -> None:
        """With sentinels: close a connection to a URL when they name another master.

        Raises:
            Unavailable: they do already, or the server is not a master.
            TributaryError: the server did not reply, or denied the command.
        """
        if self._watch is None:
            return
        close = partial(_call_in, asyncio.get_running_loop(), Pipe.close)
        self._watch.guard(pipe, url, close)
        role, *_ = await pipe.call("ROLE")
        if role != b"master":
            place = "{}:{}".format(*address(url))
            raise Unavailable(
                f"{place} is a {role.decode()}, although the sentinels name it as master"
            )

    async def pause(self, seconds: float) -> None:
        """Wait, but at most until the sentinels name another master."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds) as scope:
                if self._watch is not None:
                    with contextlib.suppress(Unavailable):
                        self._end_early(scope, await self._watch.find_url())
                await asyncio.Event().wait()

    async def _open_master(self, url: str) -> Pipe:
        """Connect to the master; a server that does not reply is abandoned for the next master."""
        try:
            async with asyncio.timeout(self._timeout_s) as scope:
                self._end_early(scope, url)
                pipe = await Pipe.open(url)
                with contextlib.ExitStack() as cleanup:
                    cleanup.callback(pipe.close)
                    await self.verify(pipe, url)
                    cleanup.pop_all()
        except TimeoutError:
            place = "{}:{}".format(*address(url))
            raise ConnectionGone(f"the master {place} does not reply in time") from None
        return pipe

    def _end_early(self, scope: asyncio.Timeout, url: str) -> None:
        """End a timeout at once when the sentinels name another master than this one."""
        assert self._watch is not None
        loop = asyncio.get_running_loop()
        self._watch.guard(scope, url, partial(_call_in, loop, partial(_expire, loop)))

    async def _discover(self) -> tuple[Pipe, list[Range]]:
        """Connect to any node and read who holds which slots; no ranges: there is one server.

        A node for which the cluster is down comes last: it may be cut off from the others, which
        have replaced it.
        """
        failure: ConnectionGone | None = None
        for is_last_resort in (False, True):
            for url in (*self._seeds, *self._others):
                try:
                    pipe = await Pipe.open(url)
                    with contextlib.ExitStack() as cleanup:
                        cleanup.callback(pipe.close)
                        ranges = await self._ranges(pipe, url, may_be_down=is_last_resort)
                        cleanup.pop_all()
                except ConnectionGone as error:
                    failure = failure or error
                    continue
                self._others = sorted({held.url for held in ranges} - {*self._seeds})
                return pipe, ranges
            if not self.is_cluster:
                break
        raise failure or ConnectionGone

    async def _ranges(self, pipe: Pipe, url: str, *, may_be_down: bool) -> list[Range]:
        try:
            async with asyncio.timeout(self._timeout_s):
                slots = pipe.request("CLUSTER", "SLOTS")
                state = await pipe.request("HMGET", keys.meta(0), "epoch")
                reply = checked(await slots)
        except TimeoutError:
            raise ConnectionGone("Redis does not reply in time") from None
        except ConnectionGone:
            raise
        except TributaryError:  # not a cluster, or no permission for the command: one server
            self.is_cluster = False
            return []
        self.is_cluster = True
        if str(state).startswith("CLUSTERDOWN") and not may_be_down:
            raise ConnectionGone("the cluster is down")
        return [
            Range(first, last, with_address(url, host.decode(), port))
            for first, last, (host, port, *_), *_ in reply
        ]


def _call_in(loop: asyncio.AbstractEventLoop, call: Callable[[T], object], owner: T) -> None:
    """Call in the event loop of the owner (from another thread)."""
    with contextlib.suppress(RuntimeError):  # the loop is closed, and so is what it had
        loop.call_soon_threadsafe(call, owner)


def _expire(loop: asyncio.AbstractEventLoop, scope: asyncio.Timeout) -> None:
    with contextlib.suppress(RuntimeError):  # it has ended meanwhile
        scope.reschedule(loop.time())


def _url_of(key: str, ranges: list[Range]) -> str:
    slot = key_slot(key.encode())
    for first, last, url in ranges:
        if first <= slot <= last:
            return url
    raise ConnectionGone(f"no node of the cluster holds slot {slot} of the key {key}")


# redis_url → nodes of the cluster there, none if it is one server; inherited by forked processes
_nodes: dict[str, frozenset[tuple[str, int]]] = {}
_open_clusters: weakref.WeakSet[redis.RedisCluster] = weakref.WeakSet()
_refreshed_at_s = 0.0
_REFRESH_INTERVAL_S = 0.5


def nodes_at(url: str, clients: list[redis.Redis]) -> frozenset[tuple[str, int]]:
    """The nodes of the cluster at a URL; none if it is one server, or unreachable.

    Args:
        url: as the setting has it.
        clients: one for each host in the URL.

    Raises:
        Misconfigured: the URL names several hosts that are not a cluster.
    """
    for client in clients if url not in _nodes else ():
        try:
            enabled = bool(int(client.info("cluster").get("cluster_enabled", 0)))
        except redis.RedisError:
            continue
        if not enabled and len(clients) > 1:
            raise Misconfigured(
                f"redis_url={redacted(url)!r} names several hosts that are not a Redis Cluster; "
                "name the one server that holds the data"
            )
        _nodes[url] = frozenset(map(address, seeds(url)) if enabled else ())
        break
    return _nodes.get(url, frozenset())


def connect_cluster(url: str, options: dict[str, Any]) -> redis.Redis:
    """A client of the cluster at a URL, whose nodes are known; it never repeats a command.

    It remembers the nodes for clients created later, when those in the URL may be down.

    Raises:
        redis.RedisError, redis.exceptions.RedisClusterException: no node is reachable.
    """
    startup = [ClusterNode(host, port) for host, port in sorted(_nodes[url])]  # type: ignore[no-untyped-call]
    # The first command goes to the first master, which may be down; any other will do.
    retry = Retry(NoBackoff(), len(startup))
    cluster = redis.RedisCluster.from_url(
        seeds(url)[0], retry=retry, startup_nodes=startup, **options
    )
    cluster.set_retry(Retry(NoBackoff(), 0))
    found = ((node.host, node.port) for node in cluster.get_nodes())  # type: ignore[no-untyped-call]
    _nodes[url] |= frozenset((str(host), int(port)) for host, port in found)
    _open_clusters.add(cluster)
    return cast(redis.Redis, cluster)  # it has the methods used here; they share no base class


def refresh() -> None:
    """Let the clients of clusters discover again who holds what, at most twice per second.

    redis-py does so only for commands that it routes itself, not for those to a given node.
    """
    global _refreshed_at_s
    now_s = time.monotonic()
    if now_s - _refreshed_at_s < _REFRESH_INTERVAL_S:
        return
    _refreshed_at_s = now_s
    for cluster in list(_open_clusters):
        with contextlib.suppress(redis.RedisError, redis.exceptions.RedisClusterException):
            cluster.nodes_manager.initialize()


def is_cluster(client: redis.Redis) -> bool:
    """Whether a client is connected to a cluster."""
    return isinstance(cast(object, client), redis.RedisCluster)


def server_of(client: redis.Redis, key: str) -> redis.Redis:
    """A client of the server that holds a key; it is closed with `client`.

    Raises:
        redis.exceptions.RedisClusterException: no node of the cluster holds it.
    """
    cluster: Any = client
    if not is_cluster(client):
        return client
    return cast(redis.Redis, cluster.get_redis_connection(cluster.get_node_from_key(key)))


def servers(client: redis.Redis, partitions: int = 0) -> list[redis.Redis]:
    """A client for each server that accepts writes: the one server, or each master of a cluster.

    Args:
        client: what `redis_client.connect` returned.
        partitions: if given, only the masters that hold one of these partitions.
    """
    cluster: Any = client
    if not is_cluster(client):
        return [client]
    nodes = cluster.get_primaries()
    if partitions:
        held = {cluster.get_node_from_key(keys.meta(p)).name for p in range(partitions)}
        nodes = [node for node in nodes if node.name in held]
    return [cluster.get_redis_connection(node) for node in nodes]
