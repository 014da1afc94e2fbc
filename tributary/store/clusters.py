"""The nodes of clusters that this process has met, so that one that dies takes none of them away."""

from __future__ import annotations

import contextlib
import time
import weakref

import redis

from tributary.errors import Misconfigured
from tributary.store import redis_url
from tributary.store.redis_url import shown

Address = tuple[str, int]
# redis_url → nodes of the cluster that answers there, none if it is one server; inherited by forks
_nodes: dict[str, frozenset[Address]] = {}
_open_clusters: weakref.WeakSet[redis.RedisCluster] = weakref.WeakSet()
_relearnt_at_s = 0.0
_RELEARN_S = 0.5


def nodes_at(url: str, seeds: list[redis.Redis]) -> frozenset[Address]:
    """The nodes known of the cluster at a URL; none if one server is there, or nobody answers.

    Raises:
        Misconfigured: several hosts are named, and they are not a cluster.
    """
    for client in seeds if url not in _nodes else ():
        try:
            is_cluster_ = bool(int(client.info("cluster").get("cluster_enabled", 0)))
        except redis.RedisError:
            continue
        if not is_cluster_ and len(seeds) > 1:
            raise Misconfigured(
                f"redis_url={shown(url)!r} names several hosts, and they are not a Redis Cluster; "
                "name the one server that holds the data"
            )
        named = (redis_url.address(each) for each in redis_url.seeds(url)) if is_cluster_ else ()
        _nodes[url] = frozenset(named)
        break
    return _nodes.get(url, frozenset())


def remember(url: str, cluster: redis.RedisCluster) -> None:
    """Keep the nodes for clients made later, when the ones in the URL may be gone."""
    found = ((node.host, node.port) for node in cluster.get_nodes())  # type: ignore[no-untyped-call]
    _nodes[url] |= frozenset((str(host), int(port)) for host, port in found)
    _open_clusters.add(cluster)


def relearn() -> None:
    """Let clients of a cluster look again who holds what, at most twice per second.

    redis-py does so only for commands that it routes itself, not for those to a certain node.
    """
    global _relearnt_at_s
    now_s = time.monotonic()
    if now_s - _relearnt_at_s < _RELEARN_S:
        return
    _relearnt_at_s = now_s
    for cluster in list(_open_clusters):
        with contextlib.suppress(redis.RedisError, redis.exceptions.RedisClusterException):
            cluster.nodes_manager.initialize()


def known(url: str) -> list[Address]:
    """The nodes of the cluster at the URL, as far as this process has met them."""
    return sorted(_nodes.get(url, ()))
