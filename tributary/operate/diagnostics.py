"""Checks the environment of a deployment: server, clock, disk, settings and permissions."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import redis

from tributary.errors import Misconfigured, TributaryError
from tributary.operate import machine_memory, server_releases
from tributary.operate.status import server as server_
from tributary.operate.status.server import Server
from tributary.settings import Settings
from tributary.store import (
    acl,
    durability,
    jobs_server,
    keys,
    redis_client,
    redis_url,
    sentinel,
    topology,
)

_SKEW_WARNS_MS = 1_000
_PROBES = 5
_FSYNC_WATCH_MS = 1_200  # under load Redis starts an fsync every second


Grade = Literal["ok", "warning", "error"]
_PERSISTENCE: tuple[tuple[str, Grade, str], ...] = (
    ("aof_last_write_status", "error", "check its disk; requests get 503 until it can write"),
    ("aof_last_bgrewrite_status", "warning", "check its log; the file grows until one succeeds"),
    ("rdb_last_bgsave_status", "warning", "check its log and its disk"),
)


class Finding(NamedTuple):
    """The result of one check, with the remedy if it is not ok."""

    subject: str
    grade: Grade
    text: str


def run(
    client: redis.Redis, settings: Settings, roles: list[str], user: str = ""
) -> Iterator[Finding]:
    """Run every check; nothing is written.

    The permissions checked are those that `roles` need, of the Redis user `user`; by default that
    of the client.
    """
    url = redis_url.redacted(settings.redis_url)
    try:
        with redis_client.failures():
            config, info = durability.facts(client)
    except TributaryError as error:
        yield Finding("redis", "error", f"redis_url={url}: {error}; start it, or correct the URL")
        return
    yield Finding("redis", "ok", f"{_name(info)} replies at {url}")
    if (watch := sentinel.watch(settings.redis_url)) is not None:
        yield check_sentinels(watch.replies())
    yield from check_server(info, settings)
    yield from check_durability(settings.durability, config, info)
    for subject, check in (("disk", _disk), ("clock", _clock), ("data", _data)):
        try:
            with redis_client.failures():
                yield check(client, settings)
        except TributaryError as error:
            yield Finding(subject, "warning", f"check failed: {error}")
    yield _jobs(settings)
    yield from (check_permissions(client, role, user) for role in roles)


def check_sentinels(replies: list[sentinel.Reply | str]) -> Finding:
    """Check that every sentinel of the URL replies, and that all name the same master."""
    named = {"{}:{}".format(*reply.address) for reply in replies if not isinstance(reply, str)}
    failures = [reply for reply in replies if isinstance(reply, str)]
    if len(named) > 1:
        text = f"the sentinels name several masters: {', '.join(sorted(named))}"
        remedy = "wait until the failover is over, or check the network between the sentinels"
        return Finding("sentinels", "warning", f"{text}; {remedy}")
    if failures:
        text = f"{len(failures)} of {len(replies)} do not name the master: {'; '.join(failures)}"
        return Finding("sentinels", "warning", f"{text}; a majority has to work for a failover")
    return Finding("sentinels", "ok", f"all {len(replies)} name {named.pop()} as the master")


def check_server(info: Mapping[str, Any], settings: Settings) -> Iterator[Finding]:
    """Check release, role, persistence and memory of the server as INFO reports them."""
    if missing := server_releases.lacks(info):
        yield Finding("release", "warning", f"{_name(info)}: {missing}")
    else:
        yield Finding("release", "ok", f"{_name(info)}; {server_releases.note(info)}")
    role = info.get("role", "unknown")
    if role != "master":
        text = f"the server is a {role} and read-only; use the URL of the master"
        yield Finding("role", "error", text)
    for name, grade, remedy in _PERSISTENCE:
        value = info.get(name, "ok")
        if value != "ok":
            yield Finding("persistence", grade, f"{name} of the server is {value}; {remedy}")
    yield _memory(info, settings)


def _memory(info: Mapping[str, Any], settings: Settings) -> Finding:
    """Check that maxmemory protects the machine and has room for `series_max` series."""
    max_bytes = int(info.get("maxmemory", 0))
    machine_bytes = int(info.get("total_system_memory", 0))
    series_bytes = machine_memory.SERIES_BYTES
    if not max_bytes:
        text = (
            "maxmemory of the server is 0: the system kills the server when memory runs out; "
            "CONFIG SET maxmemory to half of the machine's memory"
        )
    elif machine_bytes and max_bytes > machine_bytes * 0.8:
        text = (
            f"maxmemory is {max_bytes} of the machine's {machine_bytes} bytes: rewriting the "
            "append-only file may need the same amount again; CONFIG SET maxmemory to half"
        )
    elif not settings.series_max or settings.series_max * series_bytes > max_bytes:
        limit = f"series_max={settings.series_max}" if settings.series_max else "no series_max"
        text = (
            f"maxmemory is {max_bytes} bytes, and with {limit} series may need more (about "
            f"{series_bytes} bytes each); set TRIBUTARY_SERIES_MAX to at most "
            f"{max_bytes // series_bytes}, or raise maxmemory"
        )
    else:
        return Finding("memory", "ok", f"maxmemory is {max_bytes} bytes")
    return Finding("memory", "warning", text)


def check_durability(
    level: str, config: Mapping[str, str], info: Mapping[str, Any]
) -> Iterator[Finding]:
    """Check that the server is configured for the durability level."""
    violations = durability.violations(level, config, info)
    yield from (Finding("durability", "error", violation) for violation in violations)
    if not violations:
        text = f"the server keeps durability={level}, which may lose {durability.MAY_LOSE[level]}"
        yield Finding("durability", "ok", text)


def check_skew(offset_ms: float, settings: Settings) -> Finding:
    """Grade the offset of this machine's clock to the server's; positive if it is ahead."""
    direction = "ahead of" if offset_ms > 0 else "behind"
    text = f"this machine is {abs(offset_ms):.0f} ms {direction} Redis"
    if abs(offset_ms) >= min(settings.stale_after_ms, settings.future_max_ms):
        text += ": readings appear stale or in the future; synchronize both clocks with NTP"
        return Finding("clock", "error", text)
    if abs(offset_ms) >= _SKEW_WARNS_MS:
        return Finding("clock", "warning", f"{text}; synchronize both clocks with NTP")
    return Finding("clock", "ok", text)


def _name(info: Mapping[str, Any]) -> str:
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info.get('redis_version', 'of an unknown version')}"


def _disk(client: redis.Redis, _settings: Settings) -> Finding:
    """Check that fsyncs keep up, watching those of about a second."""
    nodes = topology.servers(client)
    took_ms = max(server_.longest_fsync_ms(node, _FSYNC_WATCH_MS) for node in nodes)
    if took_ms >= server_.SLOW_MS:
        return Finding("disk", "warning", server_.slow_fsync(took_ms))
    if warnings := Server.from_nodes(nodes).fsync_warnings():
        return Finding("disk", "warning", "; ".join(warnings))
    return Finding("disk", "ok", "no fsync of the append-only file was slow")


def _clock(client: redis.Redis, settings: Settings) -> Finding:
    """Take the offset of the fastest of several probes; its error is half of the round trip."""
    probes = []
    for _ in range(_PROBES):
        begun_s = time.time()
        seconds, micros = client.time()
        took_s = time.time() - begun_s
        probes.append((took_s, begun_s + took_s / 2 - (seconds + micros / 1_000_000)))
    return check_skew(min(probes)[1] * 1000, settings)


def _data(client: redis.Redis, settings: Settings) -> Finding:
    """Check that existing data was written with the same settings."""
    stored: Any = client.hgetall(keys.CONFIG)
    if not stored:
        return Finding("data", "ok", "none yet")
    differing = redis_client.mismatches(settings, stored)
    if not differing:
        return Finding("data", "ok", "written with these settings")
    text = f"written with other settings: {'; '.join(differing)}"
    remedy = "start with the settings in Redis, or with an empty server"
    return Finding("data", "error", f"{text}; {remedy}")


def _jobs(settings: Settings) -> Finding:
    """Check that jobs have a server that keeps their queue."""
    url = redis_url.redacted(jobs_server.url(settings))
    try:
        with jobs_server.connected(settings) as client, redis_client.failures():
            config, info = durability.facts(client)
    except Misconfigured as error:
        return Finding("jobs", "warning", str(error))
    except TributaryError as error:
        return Finding("jobs", "error", f"jobs_url={url}: {error}; start it, or correct the URL")
    if settings.jobs_url and (found := durability.violations("memory", config, info)):
        return Finding("jobs", "error", f"jobs_url={url}: {'; '.join(found)}")
    if settings.jobs_url and not int(info.get("aof_enabled", 1)):
        text = "a restart loses the jobs that wait; CONFIG SET appendonly yes"
        return Finding("jobs", "warning", f"jobs_url={url} has no append-only file: {text}")
    return Finding("jobs", "ok", f"jobs are queued at {url}")


def check_permissions(client: redis.Redis, role: str, user: str = "") -> Finding:
    """Check that a Redis user, by default that of the client, has what a role needs."""
    try:
        name = user or str(client.acl_whoami())
        missing = acl.denied(client, name, role)
    except redis.RedisError as error:
        remedy = (
            "run doctor with the URL of an administrator "
            "and --user with the name of the user to check"
        )
        return Finding("permissions", "warning", f"check failed: {error}; {remedy}")
    if not missing:
        return Finding("permissions", "ok", f"user {name} has all permissions of {role}")
    text = f"user {name} lacks permissions of {role}: {'; '.join(missing)}"
    remedy = f"ACL SETUSER {name} {' '.join(acl.rules(role))}"
    return Finding("permissions", "error", f"{text}; {remedy}")
