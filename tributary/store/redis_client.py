"""Connections to Redis with redis-py, its exceptions, and the checks at start."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tributary.errors import ConnectionGone, Misconfigured, NotPermitted, Unavailable
from tributary.settings import Settings, of_data
from tributary.store import (
    durability,
    keys,
    redis_url,
    sentinel,
    sentinel_client,
    topology,
    url_options,
)
from tributary.store.redis_url import redacted
from tributary.store.replies import SLOT_MOVING, error_of, not_permitted, unavailable
from tributary.store.scripts import SCRIPTS

FORMAT = "3"
FORMAT_BEFORE = "2"  # an aggregator moves such data, and all roles read it meanwhile
_START_TIMEOUT_S = 10.0
_START_PAUSE_S = 0.1

_UNAVAILABLE_ERRORS = (
    redis.BusyLoadingError,
    redis.OutOfMemoryError,
    redis.ReadOnlyError,
    redis.exceptions.MasterDownError,
    redis.exceptions.ClusterDownError,
)

# Of a cluster: a node does not hold all keys of a command, also after some attempts (ClusterError).
_MOVING_ERRORS = (
    redis.exceptions.AskError,  # also MOVED
    redis.exceptions.TryAgainError,
    redis.exceptions.ClusterError,
)

Handshake = Callable[[redis.Connection], None]  # runs first on each new connection


def connect(settings: Settings, handshake: Handshake | None = None, **options: Any) -> redis.Redis:
    """A client that never repeats a command by itself, since a write may have been executed.

    Raises:
        Misconfigured: the URL is not a Redis URL, or its certificates cannot be used.
        Unavailable: a cluster is there, but not all of it is reachable.
    """
    timeout_s = settings.redis_timeout_ms / 1000
    options = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, **options}
    never = Retry(NoBackoff(), 0)
    first = {} if handshake is None else {"redis_connect_func": _log_in_before(handshake)}
    try:
        if (watch := sentinel.watch(settings.redis_url)) is not None:
            return sentinel_client.connect(watch, handshake, retry=never, **options)
        urls = redis_url.seeds(settings.redis_url)
        for url in urls:
            url_options.tls(url_options.parse(url))
        clients = [redis.Redis.from_url(url, retry=never, **first, **options) for url in urls]
    except ValueError as error:
        raise Misconfigured(f"redis_url={redacted(settings.redis_url)!r}: {error}") from None
    if not topology.nodes_at(settings.redis_url, clients):
        return clients[0]
    for client in clients:
        client.close()
    if handshake is not None:
        options["redis_connect_func"] = handshake  # the client of a cluster logs in by itself
    with failures():
        return topology.connect_cluster(settings.redis_url, options)


def _log_in_before(handshake: Handshake) -> Handshake:
    """redis-py calls this function instead of logging in."""

    def log_in(connection: redis.Connection) -> None:
        connection.on_connect()  # type: ignore[no-untyped-call]
        handshake(connection)

    return log_in


@contextlib.contextmanager
def failures() -> Iterator[None]:
    """Turn the exceptions of redis-py into those of Tributary.

    Raises:
        Unavailable: the server cannot execute the command now.
        NotPermitted: the Redis user lacks a permission, or cannot log in.
        ConnectionGone: no reply arrived; the command may have been executed.
        TributaryError: the server rejected the command for another reason.
    """
    try:
        yield
    except redis.exceptions.NoPermissionError as error:
        raise not_permitted(error) from error
    except redis.AuthenticationError as error:  # a ConnectionError in redis-py
        raise NotPermitted(
            f"Redis rejected the login: {error}; correct the user and the password of redis_url"
        ) from error
    except _UNAVAILABLE_ERRORS as error:  # redis-py removes the code from these replies
        raise unavailable(error) from error
    except _MOVING_ERRORS as error:
        raise unavailable(SLOT_MOVING) from error
    except (redis.ConnectionError, redis.TimeoutError) as error:
        topology.refresh()
        raise ConnectionGone(f"no reply from Redis: {error}") from error
    except redis.exceptions.RedisClusterException as error:  # not a RedisError
        topology.refresh()
        raise Unavailable(f"the Redis Cluster is unavailable: {error}") from error
    except redis.RedisError as error:
        raise error_of(str(error)) from error


def prepare(client: redis.Redis, settings: Settings) -> Settings:
    """Check the server, load the scripts, and pin the settings that cannot change later.

    Returns the settings with the number of partitions of the data; see `settings.of_data`.

    Raises:
        Misconfigured: what is wrong, and the remedy.
        Unavailable: the server cannot be queried now.
    """
    with failures():
        for server in topology.servers(client):
            found = durability.violations(settings.durability, *durability.facts(server))
            if found:
                raise Misconfigured("; ".join(found))
        for name, script in SCRIPTS.items():
            try:
                client.script_load(script.source)
            except redis.ResponseError as error:
                raise Misconfigured(
                    f"the server cannot load script {name} ({error}); "
                    "use Redis 7.0 or later, or Valkey 7.2 or later"
                ) from None
        return _pin_settings(client, settings)


def wait_and_prepare(settings: Settings) -> Settings:
    """`prepare` for a role that may start before its server does, or while it restarts.

    Raises:
        Misconfigured: the server does not fit, its user lacks a permission, or it has been
            unreachable for `_START_TIMEOUT_S`.
    """
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            with contextlib.closing(connect(settings)) as client:
                return prepare(client, settings)
        except NotPermitted as error:
            raise Misconfigured(str(error)) from None
        except Unavailable as error:
            if time.monotonic() > deadline_s:
                address = redacted(settings.redis_url)
                raise Misconfigured(f"redis_url={address}: {error}") from None
            time.sleep(_START_PAUSE_S)


def adopt(client: redis.Redis, settings: Settings) -> Settings:
    """The settings with those that the data was written with and that cannot change.

    For commands: the environment of an operator's shell may have others, or none.

    Raises:
        Unavailable: the server cannot be queried now.
    """
    with failures():
        stored: Any = client.hgetall(keys.CONFIG)
    kept: dict[str, Any] = {
        name: convert(stored[name.encode()].decode())
        for name, convert in (("partitions", int), ("windows", str), ("average_over", int))
        if name.encode() in stored
    }
    return of_data(msgspec.structs.replace(settings, **kept), None)


def mismatches(settings: Settings, stored: dict[bytes, bytes]) -> list[str]:
    """The settings that cannot change and differ from those in `tributary:config`."""
    settings = of_data(settings, _partitions(stored))
    in_redis = {name.decode(): value.decode() for name, value in stored.items()}
    if in_redis.get("format") == FORMAT_BEFORE:
        in_redis["format"] = FORMAT
    return [
        f"{name} is {in_redis.get(name)} in Redis, {value} here"
        for name, value in _immutable(settings).items()
        if in_redis.get(name) != value
    ]


def _pin_settings(client: redis.Redis, settings: Settings) -> Settings:
    stored: Any = client.hgetall(keys.CONFIG)
    wanted = _immutable(of_data(settings, _partitions(stored)))
    # Written only if something is missing: a server that is full rejects every write.
    if not {name.encode() for name in wanted} <= stored.keys():
        for name, value in wanted.items():
            client.hsetnx(keys.CONFIG, name, value)
        stored = client.hgetall(keys.CONFIG)
    _check_format(stored[b"format"].decode())
    if found := mismatches(settings, stored):
        raise Misconfigured(
            f"the data was written with other settings: {'; '.join(found)}; "
            "start with the settings in Redis, or on an empty server"
        )
    return of_data(settings, _partitions(stored))


def _check_format(found: str) -> None:
    """Refuse data that another version has written and this one cannot read."""
    if found in (FORMAT, FORMAT_BEFORE):
        return
    is_newer = found.isdecimal() and int(found) > int(FORMAT)
    remedy = (
        "a newer version of Tributary has written the data: run that version, or restore a backup "
        "from before the upgrade"
        if is_newer
        else f"upgrade with a version that reads format {found} first, or start on an empty server"
    )
    raise Misconfigured(f"format is {found} in Redis, {FORMAT} here; {remedy}")


def _partitions(stored: dict[bytes, bytes]) -> int | None:
    number = stored.get(b"partitions")
    return None if number is None else int(number)


def _immutable(settings: Settings) -> dict[str, str]:
    return {
        "partitions": str(settings.partitions),
        "windows": settings.windows,
        "average_over": str(settings.average_over),
        "format": FORMAT,
    }
