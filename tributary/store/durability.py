"""Whether the settings of a server satisfy a durability level, that is, what a 200 promises.

The README describes the levels; each requires what the one before it does, and more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import redis

from tributary.errors import Misconfigured

LEVELS = ("memory", "aof", "fsync", "replicated")
# What may be lost after a 200, by level; the README has the same table.
MAY_LOSE = {
    "memory": "everything since the last save if Redis or its machine dies",
    "aof": (
        "about two seconds if the machine dies; if Redis alone dies what it acknowledged while an "
        "fsync was running, up to two seconds: Redis then replies before it writes"
    ),
    "fsync": "nothing on one machine; the newest readings at an automatic failover",
    "replicated": "nothing at a failover to the replica that confirmed",
}
OLDEST_SERVER = (7, 0)  # Valkey reports the equivalent Redis as `redis_version`
_CONFIG_NAMES = ("appendonly", "appendfsync", "no-appendfsync-on-rewrite", "maxmemory-policy")


def facts(client: redis.Redis) -> tuple[dict[str, str], dict[str, Any]]:
    """The settings by CONFIG GET (empty without permission), and INFO.

    Raises:
        redis.RedisError: the server did not reply.
    """
    try:
        config: Any = client.config_get(*_CONFIG_NAMES)
    except redis.ResponseError:  # an ACL, or a provider that renames the command
        config = {}
    info: Any = client.info()
    return config, info


def violations(level: str, config: Mapping[str, str], info: Mapping[str, Any]) -> list[str]:
    """Why a server does not satisfy a durability level; empty if it does.

    Each names the setting, its value and the remedy. A setting that the server does not report
    is a violation too: nothing can be promised without it.

    Args:
        level: one of `LEVELS`.
        config: name → value, as CONFIG GET reports; names that it does not report are absent.
        info: name → value, as redis-py parses INFO.

    Raises:
        Misconfigured: the level is unknown.
    """
    if level not in LEVELS:
        raise Misconfigured(f"durability={level!r}: use one of {', '.join(LEVELS)}")
    rank = LEVELS.index(level)
    found = [_version(info), _eviction(config, info)]
    if rank >= LEVELS.index("aof"):
        found.append(_append_only(level, config, info))
    if rank >= LEVELS.index("aof") and found[-1] is None:  # else the rest adds nothing
        found += [_fsync(level, config), _rewrite(level, config)]
    if level == "replicated":
        found.append(_replica(info))
    return [violation for violation in found if violation is not None]


def _version(info: Mapping[str, Any]) -> str | None:
    version = str(info.get("redis_version", "unknown"))
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers and (int(numbers[1]), int(numbers[2])) >= OLDEST_SERVER:
        return None
    return (
        f"the version of the server is {version}: it lacks required commands; "
        "run Redis 7.0 or later, or Valkey 7.2 or later"
    )


def _eviction(config: Mapping[str, str], info: Mapping[str, Any]) -> str | None:
    policy = config.get("maxmemory-policy", info.get("maxmemory_policy"))
    return _setting("maxmemory-policy", policy, ("noeviction",), ": it may evict readings")


def _append_only(level: str, config: Mapping[str, str], info: Mapping[str, Any]) -> str | None:
    value = config.get("appendonly")
    if value is None and "aof_enabled" in info:
        value = "yes" if int(info["aof_enabled"]) else "no"
    why = f", but durability={level} promises that a reading outlives the server process"
    return _setting("appendonly", value, ("yes",), why, "memory")


def _fsync(level: str, config: Mapping[str, str]) -> str | None:
    value = config.get("appendfsync")
    allowed = ("everysec", "always") if level == "aof" else ("always",)
    less = "aof" if level != "aof" and value == "everysec" else "memory"
    promise = {
        "aof": "that a dying machine takes two seconds at most",
        "fsync": "that a reading is on disk",
        "replicated": "that a reading is on disk and on a replica",
    }[level]
    why = f", but durability={level} promises {promise}"
    return _setting("appendfsync", value, allowed, why, less)


def _rewrite(level: str, config: Mapping[str, str]) -> str | None:
    """During a rewrite of the file there may be no flush for half a minute."""
    name = "no-appendfsync-on-rewrite"
    why = f": during a rewrite nothing is flushed, and durability={level} would not hold"
    return _setting(name, config.get(name, "no"), ("no",), why)


def _setting(
    name: str, value: str | None, allowed: tuple[str, ...], why: str, less: str = ""
) -> str | None:
    """The violation if a setting has none of the allowed values, of which the first is proposed.

    `less`: the level that the server does satisfy, if there is one.
    """
    if value in allowed:
        return None
    alternative = f", or ask for durability={less}" if less else ""
    if value is None:
        return (
            f"{name} of the server is not reported: CONFIG GET is denied, or it lacks the setting; "
            f"allow CONFIG GET (ACL +config|get) and make it {allowed[0]}{alternative}"
        )
    return (
        f"{name} of the server is {value}{why}; CONFIG SET {name} {allowed[0]}, and write it into "
        f"the server's configuration{alternative}"
    )


def _replica(info: Mapping[str, Any]) -> str | None:
    role = info.get("role", "unknown")
    if role != "master":
        return (
            f"the role of the server is {role}, and durability=replicated needs a master with a "
            "replica; give the URL of the master"
        )
    connected = int(info.get("connected_slaves", 0))
    replicas = [info.get(f"slave{number}") for number in range(connected)]
    states = [r["state"] if isinstance(r, Mapping) else "unknown" for r in replicas]
    if "online" in states:
        return None
    seen = f"{connected} ({', '.join(states)})" if states else "none"
    return (
        f"replicas of the server that are online: 0 of {seen}, and durability=replicated waits "
        "for one at each reading; start a replica (replicaof), or ask for durability=fsync"
    )
