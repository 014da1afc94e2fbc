"""How to reach Redis with redis-py, and what its failures mean to us."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tributary import durability, keys
from tributary.errors import ConnectionGone, Misconfigured, TributaryError, Unavailable
from tributary.lua import SCRIPTS
from tributary.settings import Settings

FORMAT = "2"
_REPLICA_LAG_MAX_S = 3  # replicas confirm every second
# Refused as every write is (READONLY, MISCONF, NOREPLICAS, OOM), because it lacks `no-writes`.
_WRITES_NOTHING = "#!lua\nreturn 1"
_START_PATIENCE_S = 10.0
_START_PAUSE_S = 0.1

_UNAVAILABLE_ERRORS = (
    redis.BusyLoadingError,
    redis.OutOfMemoryError,
    redis.ReadOnlyError,
    redis.exceptions.MasterDownError,
    redis.exceptions.ClusterDownError,
)

_clusters: dict[str, bool] = {}  # URL → whether a cluster answers there; inherited by forks

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


Greet = Callable[[redis.Connection], None]  # called on each new connection, before all else


def connect(settings: Settings, greet: Greet | None = None, **options: Any) -> redis.Redis:
    """A client that never repeats a command by itself: a write may have been executed.

    Raises:
        Misconfigured: the URL is not one of Redis.
        Unavailable: a cluster answers there, but not all of it.
    """
    url, timeout_s = settings.redis_url, settings.redis_timeout_ms / 1000
    options = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, **options}
    never = Retry(NoBackoff(), 0)
    try:
        client = redis.Redis.from_url(url, retry=never, **_greeting(greet), **options)
    except ValueError as error:
        raise Misconfigured(f"redis_url={shown(url)!r}: {error}") from None
    if not _is_cluster_at(url, client):
        return client
    client.close()
    # It has the methods of redis.Redis that we use; they share no class.
    if greet is not None:
        options["redis_connect_func"] = greet  # the cluster's client logs in by itself
    with failures():
        return cast(redis.Redis, redis.RedisCluster.from_url(url, retry=never, **options))


def _greeting(greet: Greet | None) -> dict[str, Any]:
    """The option with which redis-py calls this function instead of logging in."""
    if greet is None:
        return {}

    def log_in_and_greet(connection: redis.Connection) -> None:
        connection.on_connect()  # type: ignore[no-untyped-call]
        greet(connection)

    return {"redis_connect_func": log_in_and_greet}


def _is_cluster_at(url: str, client: redis.Redis) -> bool:
    """Whether a cluster answers at a URL; asked once per process, and again while nobody answers."""
    if url not in _clusters:
        try:
            _clusters[url] = bool(int(client.info("cluster").get("cluster_enabled", 0)))
        except redis.RedisError:
            return False
    return _clusters[url]


def has_cluster(settings: Settings) -> bool:
    """Whether a cluster answers at the URL; not if nobody answers."""
    client = connect(settings)
    client.close()
    return is_cluster(client)


def servers(client: redis.Redis) -> list[redis.Redis]:
    """A client for each server that takes writes: of a cluster, one for each of its masters."""
    cluster: Any = client
    if not is_cluster(client):
        return [client]
    return [cluster.get_redis_connection(node) for node in cluster.get_primaries()]


def is_cluster(client: redis.Redis) -> bool:
    """Whether `connect` has found a cluster."""
    found: object = client
    return isinstance(found, redis.RedisCluster)


def shown(url: str) -> str:
    """A Redis URL as it may be printed: without its password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return urlunsplit(parts._replace(netloc=f"***@{parts.hostname}:{parts.port or 6379}"))


@contextlib.contextmanager
def failures() -> Iterator[None]:
    """Turn redis-py's errors into ours.

    Raises:
        Unavailable: the server cannot do it now.
        ConnectionGone: no reply came; whether the command was executed is not known.
        TributaryError: the server refuses for another reason.
    """
    try:
        yield
    except _UNAVAILABLE_ERRORS as error:  # redis-py takes the code off these replies
        raise Unavailable(f"Redis cannot take it now: {error}") from error
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise ConnectionGone(f"no reply from Redis: {error}") from error
    except redis.exceptions.RedisClusterException as error:  # no RedisError, as one would expect
        raise Unavailable(f"the cluster cannot take it now: {error}") from error
    except redis.RedisError as error:
        raise of_reply(str(error)) from error


def of_reply(error: str) -> TributaryError:
    """The error that an error reply of the server means."""
    if error.startswith(_UNAVAILABLE) or "loading the dataset" in error.lower():
        return Unavailable(f"Redis cannot take it now: {error}")
    return TributaryError(f"Redis refuses: {error}")


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


def readiness(client: redis.Redis, *, writes: bool, level: str = "aof") -> Callable[[], str | None]:
    """A check that returns why the server cannot serve us now, or None.

    Args:
        client: of the server or cluster.
        writes: whether it must be able to take writes.
        level: of durability; for `replicated` a replica must be confirming.
    """

    def check() -> str | None:
        try:
            with failures():
                states = [_state(server, level if writes else None) for server in servers(client)]
        except TributaryError as error:
            return str(error)
        return next((reason for reason in states if reason is not None), None)

    return check


def _state(server: redis.Redis, level: str | None) -> str | None:
    """Why a server takes no writes at this level; an exception if it does not reply."""
    if level is None:
        server.ping()
        return None
    state = {**server.info("replication"), **server.info("persistence")}
    if state["role"] != "master":
        return f"the server is a {state['role']}: it takes no writes"
    if state.get("aof_last_write_status", "ok") != "ok":
        return "the server cannot write its append-only file; look at its disk"
    if level == "replicated" and (reason := unconfirmed(state)) is not None:
        return reason
    server.eval(_WRITES_NOTHING, 0)
    return None


def unconfirmed(replication: Mapping[str, Any]) -> str | None:
    """Why no replica confirms writes now, from INFO replication; None if one does.

    A replica that has stopped stays online for `repl-timeout`, a minute, but its lag grows.
    """
    replicas = [
        replication[f"slave{number}"] for number in range(int(replication["connected_slaves"]))
    ]
    lags_s = [int(r.get("lag", 0)) for r in replicas if r.get("state") == "online"]
    if any(0 <= lag_s <= _REPLICA_LAG_MAX_S for lag_s in lags_s):
        return None
    seen = f"the newest confirmation is {min(lags_s)} s old" if lags_s else "none is online"
    return (
        f"no replica confirms, as durability=replicated needs: {seen}, "
        f"{len(replicas)} connected; start a replica or look at its log"
    )


def wait_and_prepare(settings: Settings) -> None:
    """`prepare` for a role that may start before its server does, or while that restarts.

    Raises:
        Misconfigured: the server does not fit, or there is none after a while.
    """
    deadline_s = time.monotonic() + _START_PATIENCE_S
    while True:
        try:
            client = connect(settings)
            try:
                prepare(client, settings)
            finally:
                client.close()
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
