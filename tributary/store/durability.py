"""Whether a server keeps what a 200 promises: its settings against the level asked for.

What each level promises stands in the README; each demands what the one before it does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import redis

from tributary.errors import Misconfigured

LEVELS = ("memory", "aof", "fsync", "replicated")
# What a 200 of each level may still lose; the table in the README says the same.
MAY_LOSE = {
    "memory": "everything since the last save if Redis or its machine dies",
    "aof": (
        "about two seconds if the machine dies; if Redis alone dies what it acknowledged while an "
        "fsync was running, up to two seconds: Redis then replies before it writes"
    ),
    "fsync": "nothing on one machine; the newest readings at an automatic failover",
    "replicated": "nothing at a failover to the replica that confirmed",
}
OLDEST_SERVER = (7, 0)  # Valkey says as `redis_version` which Redis it equals
_CONFIG_NAMES = ("appendonly", "appendfsync", "no-appendfsync-on-rewrite", "maxmemory-policy")


def facts(client: redis.Redis) -> tuple[dict[str, str], dict[str, Any]]:
    """What the judgement needs: CONFIG GET (empty if we may not ask) and INFO.

    Raises:
        redis.RedisError: the server did not answer.
    """
    try:
        config: Any = client.config_get(*_CONFIG_NAMES)
    except redis.ResponseError:  # an ACL, or a provider that renames the command
        config = {}
    info: Any = client.info()
    return config, info


def faults(level: str, config: Mapping[str, str], info: Mapping[str, Any]) -> list[str]:
    """Why a server cannot keep a durability level; nothing if it can.

    Each says which setting, what its value is, and the remedy. What the server does not tell
    is a fault too: a promise cannot rest on it.

    Args:
        level: one of `LEVELS`.
        config: name → value, as CONFIG GET tells; names that it does not tell are absent.
        info: name → value, as redis-py parses INFO.

    Raises:
        Misconfigured: there is no such level.
    """
    if level not in LEVELS:
        raise Misconfigured(f"durability={level!r}: there are {', '.join(LEVELS)}")
    rank = LEVELS.index(level)
    found = [_version(info), _eviction(config, info)]
    if rank >= LEVELS.index("aof"):
        found.append(_append_only(level, config, info))
    if rank >= LEVELS.index("aof") and found[-1] is None:  # else the rest says nothing new
        found += [_fsync(level, config), _rewrite(level, config)]
    if level == "replicated":
        found.append(_replica(info))
    return [fault for fault in found if fault is not None]


def _version(info: Mapping[str, Any]) -> str | None:
    version = str(info.get("redis_version", "unknown"))
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers and (int(numbers[1]), int(numbers[2])) >= OLDEST_SERVER:
        return None
    return (
        f"the version of the server is {version}: it lacks commands we use; "
        "run Redis 7.0 or later, or Valkey 7.2 or later"
    )


def _eviction(config: Mapping[str, str], info: Mapping[str, Any]) -> str | None:
    policy = config.get("maxmemory-policy", info.get("maxmemory_policy"))
    if policy == "noeviction":
        return None
    if policy is None:
        return _untold("maxmemory-policy", "noeviction")
    return (
        f"maxmemory-policy of the server is {policy}: it may evict readings; "
        f"{_remedy('maxmemory-policy', 'noeviction')}"
    )


def _append_only(level: str, config: Mapping[str, str], info: Mapping[str, Any]) -> str | None:
    told = config.get("appendonly")
    if told is None and "aof_enabled" in info:
        told = "yes" if int(info["aof_enabled"]) else "no"
    if told == "yes":
        return None
    if told is None:
        return f"{_untold('appendonly', 'yes')}, or ask for durability=memory"
    return (
        f"appendonly of the server is {told}, but durability={level} promises that a reading "
        f"outlives the server process; {_remedy('appendonly', 'yes')}, or ask for durability=memory"
    )


def _fsync(level: str, config: Mapping[str, str]) -> str | None:
    allowed = ("everysec", "always") if level == "aof" else ("always",)
    told = config.get("appendfsync")
    if told in allowed:
        return None
    if told is None:
        return f"{_untold('appendfsync', allowed[0])}, or ask for durability=memory"
    promise, less = {
        "aof": ("that a dying machine takes two seconds at most", "memory"),
        "fsync": ("that a reading is on disk", "aof" if told == "everysec" else "memory"),
        "replicated": (
            "that a reading is on disk and on a replica",
            "aof" if told == "everysec" else "memory",
        ),
    }[level]
    return (
        f"appendfsync of the server is {told}, but durability={level} promises {promise}; "
        f"{_remedy('appendfsync', allowed[0])}, or ask for durability={less}"
    )


def _rewrite(level: str, config: Mapping[str, str]) -> str | None:
    """While the file is rewritten this would let half a minute pass without a flush."""
    if config.get("no-appendfsync-on-rewrite", "no") == "no":
        return None
    return (
        "no-appendfsync-on-rewrite of the server is yes: during a rewrite nothing is flushed, "
        f"and durability={level} would not hold; {_remedy('no-appendfsync-on-rewrite', 'no')}"
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


def _remedy(name: str, value: str) -> str:
    return f"CONFIG SET {name} {value}, and write it into the server's configuration"


def _untold(name: str, wanted: str) -> str:
    return (
        f"{name} of the server is not told: we may not ask, or it has no such setting; "
        f"allow CONFIG GET (ACL +config|get) and make it {wanted}"
    )
