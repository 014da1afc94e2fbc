"""What is wrong with where Tributary runs, found before it hurts: each finding with its remedy."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import redis

from tributary.errors import TributaryError
from tributary.operate import machine_memory
from tributary.operate.status import slow_disk
from tributary.settings import Settings
from tributary.store import acl, durability, keys, redis_client, redis_url

_SKEW_WARNS_MS = 1_000
_PROBES = 5
_FSYNC_WATCH_MS = 1_200  # under load Redis starts an fsync every second


Grade = Literal["ok", "warning", "fault"]
_PERSISTENCE: tuple[tuple[str, Grade, str], ...] = (
    ("aof_last_write_status", "fault", "look at its disk; senders are told 503 until it can write"),
    ("aof_last_bgrewrite_status", "warning", "look at its log; the file grows until one succeeds"),
    ("rdb_last_bgsave_status", "warning", "look at its log and its disk"),
)


class Finding(NamedTuple):
    """What was looked at, how it is, and what to do if it is not well."""

    subject: str
    grade: Grade
    text: str


def examine(
    client: redis.Redis, settings: Settings, roles: list[str], user: str = ""
) -> Iterator[Finding]:
    """Look at everything, reading only; `user` of Redis instead of the one that asks."""
    try:
        with redis_client.failures():
            config, info = durability.facts(client)
    except TributaryError as error:
        place = redis_url.shown(settings.redis_url)
        yield Finding("redis", "fault", f"redis_url={place}: {error}; start it, or correct the URL")
        return
    yield Finding("redis", "ok", f"{_name(info)} answers at {redis_url.shown(settings.redis_url)}")
    yield from server(info, settings)
    yield from promised(settings.durability, config, info)
    for subject, look in (("disk", _disk), ("clock", _clock), ("data", _stored)):
        try:
            with redis_client.failures():
                yield look(client, settings)
        except TributaryError as error:
            yield Finding(subject, "warning", f"cannot be looked at: {error}")
    yield from (_permitted(client, role, user) for role in roles)


def server(info: Mapping[str, Any], settings: Settings) -> Iterator[Finding]:
    """What INFO says of the server's own state."""
    yield _release(info)
    role = info.get("role", "unknown")
    if role != "master":
        text = f"the server is a {role}: it takes no writes; give the URL of the master"
        yield Finding("role", "fault", text)
    for name, grade, remedy in _PERSISTENCE:
        value = info.get(name, "ok")
        if value != "ok":
            yield Finding("persistence", grade, f"{name} of the server is {value}; {remedy}")
    yield _memory(info, settings)


def _memory(info: Mapping[str, Any], settings: Settings) -> Finding:
    """Whether maxmemory protects the machine and has room for the series that may come."""
    max_bytes = int(info.get("maxmemory", 0))
    machine_bytes = int(info.get("total_system_memory", 0))
    series_bytes = settings.series_max * machine_memory.SERIES_BYTES
    if not max_bytes:
        return Finding(
            "memory",
            "warning",
            "maxmemory of the server is 0: without a limit the system ends it when memory is "
            "gone; CONFIG SET maxmemory to half of what the machine has",
        )
    if machine_bytes and max_bytes > machine_bytes * 0.8:
        return Finding(
            "memory",
            "warning",
            f"maxmemory is {max_bytes} bytes of {machine_bytes} that the machine has: a rewrite of "
            "the append-only file needs up to as much again; CONFIG SET maxmemory to half",
        )
    if not settings.series_max or series_bytes > max_bytes:
        cap = f"series_max={settings.series_max}" if settings.series_max else "no series_max"
        return Finding(
            "memory",
            "warning",
            f"maxmemory is {max_bytes} bytes, and with {cap} series may need more (some "
            f"{machine_memory.SERIES_BYTES} bytes each); set TRIBUTARY_SERIES_MAX to at most "
            f"{max_bytes // machine_memory.SERIES_BYTES}, or give the server more memory",
        )
    return Finding("memory", "ok", f"maxmemory is {max_bytes} bytes")


def promised(level: str, config: Mapping[str, str], info: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether the server keeps the durability level."""
    faults = durability.faults(level, config, info)
    yield from (Finding("durability", "fault", fault) for fault in faults)
    if not faults:
        text = f"the server keeps durability={level}, which may lose {durability.MAY_LOSE[level]}"
        yield Finding("durability", "ok", text)


def skew(offset_ms: float, settings: Settings) -> Finding:
    """What it means that this machine's clock is that far ahead of the server's."""
    direction = "ahead of" if offset_ms > 0 else "behind"
    text = f"this machine is {abs(offset_ms):.0f} ms {direction} Redis"
    if abs(offset_ms) >= min(settings.stale_after_ms, settings.future_max_ms):
        return Finding(
            "clock",
            "fault",
            f"{text}: readings look stale or lie in the future; set both clocks by NTP",
        )
    if abs(offset_ms) >= _SKEW_WARNS_MS:
        return Finding("clock", "warning", f"{text}; set both clocks by NTP")
    return Finding("clock", "ok", text)


def _name(info: Mapping[str, Any]) -> str:
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info.get('redis_version', 'of an unknown version')}"


def _release(info: Mapping[str, Any]) -> Finding:
    """Which release it is; that it is new enough, durability says."""
    text = f"{_name(info)}; its release notes say which holes are closed: keep it updated"
    return Finding("release", "ok", text)


def _disk(client: redis.Redis, _settings: Settings) -> Finding:
    """Whether fsyncs keep up: those of a second are watched."""
    servers = redis_client.servers(client)
    ran_ms = max(slow_disk.longest_ms(server, _FSYNC_WATCH_MS) for server in servers)
    if ran_ms >= slow_disk.SLOW_MS:
        return Finding("disk", "warning", slow_disk.ran_for(ran_ms))
    found = slow_disk.figures([server.info("persistence") for server in servers])
    warnings = slow_disk.warnings(found)
    if warnings:
        return Finding("disk", "warning", "; ".join(warnings))
    return Finding("disk", "ok", "no fsync of the append-only file was slow")


def _clock(client: redis.Redis, settings: Settings) -> Finding:
    """The offset of the quickest of some probes: half of its way is the error."""
    probes = []
    for _ in range(_PROBES):
        begun_s = time.time()
        seconds, micros = client.time()
        took_s = time.time() - begun_s
        probes.append((took_s, begun_s + took_s / 2 - (seconds + micros / 1_000_000)))
    return skew(min(probes)[1] * 1000, settings)


def _stored(client: redis.Redis, settings: Settings) -> Finding:
    stored: Any = client.hgetall(keys.CONFIG)
    if not stored:
        return Finding("data", "ok", "there is none yet; any settings will do")
    differing = redis_client.differing(settings, stored)
    if not differing:
        return Finding("data", "ok", "it was written with these settings")
    return Finding(
        "data",
        "fault",
        f"it was written with other settings: {'; '.join(differing)}; "
        "start with the settings in Redis, or on an empty server",
    )


def _permitted(client: redis.Redis, role: str, user: str) -> Finding:
    try:
        who = user or str(client.acl_whoami())
        missing = acl.denied(client, who, role)
    except redis.RedisError as error:
        return Finding(
            "permissions",
            "warning",
            f"cannot be asked ({error}); run doctor with the URL of an administrator "
            "and --user with the name of the user to examine",
        )
    if not missing:
        return Finding("permissions", "ok", f"user {who} may do all that {role} needs")
    granted = " ".join(acl.rules(role))
    return Finding(
        "permissions",
        "fault",
        f"user {who} cannot be {role}: {'; '.join(missing)}; ACL SETUSER {who} {granted}",
    )
