"""What a server does with its files."""

from __future__ import annotations

import redis


def is_rewriting(client: redis.Redis) -> bool:
    """Whether a server rewrites its append-only file, or will soon."""
    found = client.info("persistence")
    return bool(found["aof_rewrite_in_progress"] or found["aof_rewrite_scheduled"])


def is_loading(client: redis.Redis) -> bool:
    """Whether a server loads its files; False if it does not respond."""
    try:
        return bool(client.info("persistence")["loading"])
    except redis.BusyLoadingError:
        return True
    except redis.RedisError:
        return False
