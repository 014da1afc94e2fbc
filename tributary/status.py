"""What is accepted, applied, pending and lost, as the partitions themselves count it."""

from __future__ import annotations

from typing import Any

import redis

from tributary import keys
from tributary.connection import failures
from tributary.lua import HEARTBEAT
from tributary.ownership import MISSED_HEARTBEATS, owner
from tributary.settings import Settings

_COUNTS = ("entries", "accepted", "done_entries", "applied", "late", "dead", "lost", "foreign")


def read(client: redis.Redis, settings: Settings) -> dict[str, Any]:
    """The status of a deployment; counts are of readings.

    accepted = applied + late + dead + lost + pending, partition by partition.

    Raises:
        Unavailable: the server cannot answer now.
    """
    partitions = range(settings.partitions)
    with failures():
        asked = client.pipeline(transaction=False)
        for partition in partitions:
            asked.hmget(keys.meta(partition), _COUNTS)
            asked.zcard(keys.devices(partition))
            asked.hlen(keys.state(partition))
        replies = asked.execute()
        server = client.info()
        time_s, _ = client.time()
    counts = [_counts(values) for values in replies[0::3]]
    behind = [p for p in partitions if counts[p]["entries"] > counts[p]["done_entries"]]
    accepted = sum(c["accepted"] + c["foreign"] for c in counts)
    settled = {name: sum(c[name] for c in counts) for name in ("applied", "late", "dead", "lost")}
    return {
        "accepted": accepted,
        **settled,
        "pending": accepted - sum(settled.values()),
        "lag_entries": sum(c["entries"] - c["done_entries"] for c in counts),
        "lag_s": max((_lag_s(client, p, time_s) for p in behind), default=0.0),
        "devices": sum(replies[1::3]),
        "series": sum(replies[2::3]),
        "aggregators": aggregators_alive(client, settings),
        "server": {
            "version": server.get("valkey_version", server.get("redis_version")),
            "used_memory_bytes": server["used_memory"],
            "role": server["role"],
        },
    }


def faults(status: dict[str, Any]) -> list[str]:
    """Why a deployment is not healthy; nothing if it is."""
    found = []
    if not status["aggregators"]:
        found.append("no aggregator is alive: readings are accepted, but nothing is applied")
    if status["server"]["role"] != "master":
        found.append(f"the server is a {status['server']['role']}: it takes no writes")
    return found


def aggregators_alive(client: redis.Redis, settings: Settings) -> list[dict[str, Any]]:
    """The aggregators whose heartbeat is fresh, and the partitions that are theirs."""
    with failures():
        reply: Any = client.eval(HEARTBEAT.source.decode(), 1, keys.WORKERS, "", "0")
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


def _counts(values: list[bytes | None]) -> dict[str, int]:
    return {name: int(value or 0) for name, value in zip(_COUNTS, values, strict=True)}


def _lag_s(client: redis.Redis, partition: int, now_s: int) -> float:
    """Age of the oldest entry that is not accounted for; its id begins with its time."""
    with failures():
        hwm = client.hget(keys.meta(partition), "hwm") or b"0-0"
        oldest: Any = client.xrange(keys.readings(partition), min=b"(" + hwm, count=1)  # type: ignore[operator]
    if not oldest:
        return 0.0
    return max(0.0, now_s - int(oldest[0][0].split(b"-")[0]) / 1000)
