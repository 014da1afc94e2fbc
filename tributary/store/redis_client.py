"""How to reach Redis with redis-py, and what its failures mean to us."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.retry import Retry

from tributary.errors import (
    ConnectionGone,
    Misconfigured,
    NotPermitted,
    TributaryError,
    Unavailable,
)
from tributary.settings import Settings
from tributary.store import clusters, durability, keys, redis_url
from tributary.store.redis_url import shown
from tributary.store.scripts import SCRIPTS

FORMAT = "2"
_START_PATIENCE_S = 10.0
_START_PAUSE_S = 0.1

_UNAVAILABLE_ERRORS = (
    redis.BusyLoadingError,
    redis.OutOfMemoryError,
    redis.ReadOnlyError,
    redis.exceptions.MasterDownError,
    redis.exceptions.ClusterDownError,
)

# Replies of a server that cannot take a write now but may later.
_UNAVAILABLE = (
    "LOADING",
    "READONLY",
    "MASTERDOWN",
    "OOM",
    "MISCONF",
    "NOREPLICAS",
    "BUSY",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "MOVED",
    "ASK",
    "UNBLOCKED",
    "max number of clients",
)


_NOT_PERMITTED = ("NOPERM", "NOAUTH", "WRONGPASS")
_NOT_PERMITTED_IN_SCRIPT = "ACL failure in script"

Greet = Callable[[redis.Connection], None]  # called on each new connection, before all else


def connect(settings: Settings, greet: Greet | None = None, **options: Any) -> redis.Redis:
    """A client that never repeats a command by itself: a write may have been executed.

    Raises:
        Misconfigured: the URL is not one of Redis.
        Unavailable: a cluster answers there, but not all of it.
    """
    timeout_s = settings.redis_timeout_ms / 1000
    options = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, **options}
    never = Retry(NoBackoff(), 0)
    try:
        urls = redis_url.seeds(settings.redis_url)
        clients = [
            redis.Redis.from_url(url, retry=never, **_greeting(greet), **options) for url in urls
        ]
    except ValueError as error:
        place = shown(settings.redis_url)
        raise Misconfigured(f"redis_url={place!r}: {error}") from None
    nodes = clusters.nodes_at(settings.redis_url, clients)
    if not nodes:
        return clients[0]
    for client in clients:
        client.close()
    # It has the methods of redis.Redis that we use; they share no class.
    if greet is not None:
        options["redis_connect_func"] = greet  # the cluster's client logs in by itself
    options["startup_nodes"] = [ClusterNode(host, port) for host, port in sorted(nodes)]  # type: ignore[no-untyped-call]
    with failures():
        # Its first command goes to the first master, which may have died; another one will do.
        several = Retry(NoBackoff(), len(nodes))
        cluster = redis.RedisCluster.from_url(urls[0], retry=several, **options)
        cluster.set_retry(never)
    clusters.remember(settings.redis_url, cluster)
    return cast(redis.Redis, cluster)


def _greeting(greet: Greet | None) -> dict[str, Any]:
    """The option with which redis-py calls this function instead of logging in."""
    if greet is None:
        return {}

    def log_in_and_greet(connection: redis.Connection) -> None:
        connection.on_connect()  # type: ignore[no-untyped-call]
        greet(connection)

    return {"redis_connect_func": log_in_and_greet}


def has_cluster(settings: Settings) -> bool:
    """Whether a cluster answers at the URL; not if nobody answers."""
    if not clusters.known(settings.redis_url):
        connect(settings).close()
    return bool(clusters.known(settings.redis_url))


def servers(client: redis.Redis, partitions: int = 0) -> list[redis.Redis]:
    """A client for each server that takes writes: of a cluster, one for each of its masters.

    Args:
        client: what `connect` has returned.
        partitions: if given, only the masters that hold one of so many partitions.
    """
    cluster: Any = client
    if not is_cluster(client):
        return [client]
    nodes = cluster.get_primaries()
    if partitions:
        held = {cluster.get_node_from_key(keys.meta(p)).name for p in range(partitions)}
        nodes = [node for node in nodes if node.name in held]
    return [cluster.get_redis_connection(node) for node in nodes]


def is_cluster(client: redis.Redis) -> bool:
    """Whether `connect` has found a cluster."""
    found: object = client
    return isinstance(found, redis.RedisCluster)


@contextlib.contextmanager
def failures() -> Iterator[None]:
    """Turn redis-py's errors into ours.

    Raises:
        Unavailable: the server cannot do it now.
        NotPermitted: the user of Redis may not do it, or cannot log in.
        ConnectionGone: no reply came; whether the command was executed is not known.
        TributaryError: the server refuses for another reason.
    """
    try:
        yield
    except redis.exceptions.NoPermissionError as error:
        raise _not_permitted(str(error)) from error
    except redis.AuthenticationError as error:  # of redis-py, a ConnectionError
        raise NotPermitted(
            f"Redis refuses the login: {error}; correct the user and the password of redis_url"
        ) from error
    except _UNAVAILABLE_ERRORS as error:  # redis-py takes the code off these replies
        raise Unavailable(f"Redis cannot take it now: {error}") from error
    except (redis.ConnectionError, redis.TimeoutError) as error:
        clusters.relearn()
        raise ConnectionGone(f"no reply from Redis: {error}") from error
    except redis.exceptions.RedisClusterException as error:  # no RedisError, as one would expect
        clusters.relearn()
        raise Unavailable(f"the cluster cannot take it now: {error}") from error
    except redis.RedisError as error:
        raise of_reply(str(error)) from error


def of_reply(error: str) -> TributaryError:
    """The error that an error reply of the server means."""
    if error.startswith(_NOT_PERMITTED) or _NOT_PERMITTED_IN_SCRIPT in error:
        return _not_permitted(error)
    if error.startswith(_UNAVAILABLE) or "loading the dataset" in error.lower():
        return Unavailable(f"Redis cannot take it now: {error}")
    return TributaryError(f"Redis refuses: {error}")


def _not_permitted(error: str) -> NotPermitted:
    return NotPermitted(
        f"the user of Redis lacks a permission: {error}; grant it, `tributary doctor` prints the "
        "ACL rules of each role"
    )


def prepare(client: redis.Redis, settings: Settings) -> None:
    """Check that the server fits, load the scripts, agree on what cannot change later.

    Raises:
        Misconfigured: naming the fault and the remedy.
        Unavailable: the server cannot be asked now.
    """
    with failures():
        _check_durability(client, settings.durability)
        for script in SCRIPTS:
            try:
                client.script_load(script.source)
            except redis.ResponseError as error:
                raise Misconfigured(
                    f"the server cannot load script {script.name} ({error}); "
                    "use Redis 7.0 or later, or Valkey 7.2 or later"
                ) from None
        _agree(client, settings)


def wait_and_prepare(settings: Settings) -> None:
    """`prepare` for a role that may start before its server does, or while that restarts.

    Raises:
        Misconfigured: the server does not fit, or its user lacks a permission, or there is none
            after a while.
    """
    deadline_s = time.monotonic() + _START_PATIENCE_S
    while True:
        try:
            client = connect(settings)
            try:
                prepare(client, settings)
            finally:
                client.close()
        except NotPermitted as error:
            raise Misconfigured(str(error)) from None
        except Unavailable as error:
            if time.monotonic() > deadline_s:
                place = shown(settings.redis_url)
                raise Misconfigured(f"redis_url={place}: {error}") from None
            time.sleep(_START_PAUSE_S)
        else:
            return


def _check_durability(client: redis.Redis, level: str) -> None:
    for server in servers(client):
        faults = durability.faults(level, *durability.facts(server))
        if faults:
            raise Misconfigured("; ".join(faults))


def differing(settings: Settings, stored: dict[bytes, bytes]) -> list[str]:
    """Which of the settings that cannot change are others than `tributary:config` has."""
    theirs = {name.decode(): value.decode() for name, value in stored.items()}
    return [
        f"{name} is {theirs.get(name)} in Redis, {value} here"
        for name, value in _lasting(settings).items()
        if theirs.get(name) != value
    ]


def _agree(client: redis.Redis, settings: Settings) -> None:
    ours = _lasting(settings)
    stored: Any = client.hgetall(keys.CONFIG)
    # Written only if something is missing: a server that is full refuses every write.
    if not {name.encode() for name in ours} <= stored.keys():
        for name, value in ours.items():
            client.hsetnx(keys.CONFIG, name, value)
        stored = client.hgetall(keys.CONFIG)
    if found := differing(settings, stored):
        raise Misconfigured(
            f"the data was written with other settings: {'; '.join(found)}; "
            "start with the settings in Redis, or on an empty server"
        )


def _lasting(settings: Settings) -> dict[str, str]:
    return {
        "partitions": str(settings.partitions),
        "windows": settings.windows,
        "average_over": str(settings.average_over),
        "format": FORMAT,
    }
