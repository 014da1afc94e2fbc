"""What is accepted, applied, pending and lost, as the partitions themselves count it."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import redis

from tributary.operate.status import partition as partition_
from tributary.operate.status import slow_disk
from tributary.operate.status.partition import Partition
from tributary.settings import Settings
from tributary.store import keys
from tributary.store.membership import MISSED_HEARTBEATS, owner
from tributary.store.redis_client import failures, servers
from tributary.store.scripts import ALIVE

BEHIND_S = 60.0  # with entries waiting longer than this the aggregators do not keep up
_FULL = 0.9  # share of a cap at which something is about to be refused or trimmed
_SUMS = (
    "accepted",
    "applied",
    "late",
    "dead",
    "lost",
    "lost_at_restart",
    "pending",
    "missing",
    "refused",
)


def read(client: redis.Redis, settings: Settings) -> dict[str, Any]:
    """The status of a deployment; counts are of readings.

    accepted = applied + late + dead + lost + pending, at any moment: each partition is read
    as of one moment, and the sums are those of the partitions listed.

    Raises:
        Unavailable: the server cannot answer now.
    """
    with failures():
        asked = client.pipeline(transaction=False)
        for number in range(settings.partitions):
            partition_.ask(asked, number)
        replies = asked.execute()
        infos: list[Any] = [slow_disk.look(server, server.info()) for server in servers(client)]
    partitions = [partition_.parse(number, reply) for number, reply in enumerate(replies)]
    return {
        **{name: sum(getattr(p, name) for p in partitions) for name in _SUMS},
        "lag_entries": sum(p.entries.pending for p in partitions),
        "lag_s": max(p.lag_s for p in partitions),
        "devices": sum(p.devices for p in partitions),
        "series": sum(p.series for p in partitions),
        "aggregators": aggregators_alive(client, settings),
        "server": _server(infos),
        "stream_max_entries": settings.stream_max_entries,
        "partitions": [msgspec.to_builtins(p) for p in partitions],
    }


def as_stored(client: redis.Redis, settings: Settings) -> Settings:
    """The settings with as many partitions as the data has: an operator's shell may name others.

    Raises:
        Unavailable: the server cannot answer now.
    """
    with failures():
        stored: Any = client.hget(keys.CONFIG, "partitions")
    if stored is None:
        return settings
    return msgspec.structs.replace(settings, partitions=int(stored))


def faults(status: dict[str, Any]) -> list[str]:
    """Why a deployment is not healthy; nothing if it is."""
    found = []
    if not status["aggregators"]:
        found.append(
            "no aggregator is alive: readings are accepted, but nothing is applied; "
            "start one with `tributary aggregator`"
        )
    elif status["lag_s"] > BEHIND_S:
        found.append(
            f"the oldest entry waits for {status['lag_s']:.0f} s: the aggregators do not keep "
            "up; start more of them, or look at their logs"
        )
    server = status["server"]
    if server["role"] != "master":
        found.append(
            f"the server is a {server['role']}: it takes no writes; give the URL of the master"
        )
    if server["aof_last_write_status"] != "ok":
        found.append(
            "the server cannot write its append-only file "
            f"(aof_last_write_status is {server['aof_last_write_status']}); look at its disk"
        )
    if server.get("rdb_last_bgsave_status", "ok") != "ok":
        found.append(
            "the last snapshot of the server failed "
            f"(rdb_last_bgsave_status is {server['rdb_last_bgsave_status']}): it refuses writes "
            "if stop-writes-on-bgsave-error is yes; look at its disk"
        )
    return [*found, *_full(status)]


def warnings(status: dict[str, Any]) -> list[str]:
    """What does not make a deployment unhealthy, but puts readings at risk."""
    return slow_disk.warnings(status["server"])


def aggregators_alive(client: redis.Redis, settings: Settings) -> list[dict[str, Any]]:
    """The aggregators whose heartbeat is fresh, and the partitions that are theirs.

    Raises:
        Unavailable: the server cannot answer now.
    """
    with failures():
        reply: Any = client.eval(ALIVE.source.decode(), 1, keys.WORKERS)
    silent_ms = MISSED_HEARTBEATS * settings.heartbeat_ms
    ages_ms = {
        id_.decode(): int(age)
        for id_, age in zip(reply[::2], reply[1::2], strict=True)
        if int(age) <= silent_ms
    }
    owners = [owner(p, ages_ms) for p in range(settings.partitions)] if ages_ms else []
    return [
        {
            "id": id_,
            "partitions": [p for p, owner_ in enumerate(owners) if owner_ == id_],
            "heartbeat_age_ms": age_ms,
        }
        for id_, age_ms in sorted(ages_ms.items())
    ]


def _server(infos: list[dict[str, Any]]) -> dict[str, Any]:
    """What INFO says; of several nodes the worst, and of the fullest how full it is."""
    fullest = max(infos, key=lambda info: info["used_memory"] / (info["maxmemory"] or math.inf))
    roles = [info["role"] for info in infos]
    return {
        "version": fullest.get("valkey_version", fullest["redis_version"]),
        "nodes": len(infos),
        "role": next((role for role in roles if role != "master"), "master"),
        "used_memory_bytes": fullest["used_memory"],
        "max_memory_bytes": fullest["maxmemory"],  # 0: no limit
        **{
            name: _worst(name, infos)
            for name in ("aof_last_write_status", "rdb_last_bgsave_status")
        },
        **slow_disk.figures(infos),
    }


def _worst(name: str, infos: list[dict[str, Any]]) -> str:
    return next((info[name] for info in infos if info.get(name, "ok") != "ok"), "ok")


def _full(status: dict[str, Any]) -> list[str]:
    found = []
    used, limit = (status["server"][f"{which}_memory_bytes"] for which in ("used", "max"))
    if limit and used >= _FULL * limit:
        found.append(
            f"the server uses {used} of {limit} bytes (maxmemory): soon it takes no readings; "
            "give it more, or keep less with --stream-max-entries"
        )
    cap = status["stream_max_entries"]
    full = [p for p in status["partitions"] if p["entries"]["pending"] >= _FULL * cap]
    if full:
        numbers = ", ".join(str(p["partition"]) for p in full)
        found.append(
            f"{_FULL:.0%} of the {cap} entries a stream keeps are unread in partition {numbers}: "
            "readings are refused or lost there; start more aggregators"
        )
    return found


__all__ = ["BEHIND_S", "Partition", "aggregators_alive", "as_stored", "faults", "read", "warnings"]
