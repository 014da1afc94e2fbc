"""The MQTT bridges of a deployment: their heartbeats, and the counts of messages."""

from __future__ import annotations

import socket
from typing import Any

import redis

from tributary.settings import Settings
from tributary.store import counts, keys, scripts
from tributary.store.redis_client import failures

HEARTBEAT_MAX_MS = 5_000  # a bridge sends one per second
_FORGET_MS = 60_000


def client_id(settings: Settings) -> str:
    """The name of the session of the bridge on this machine."""
    return settings.mqtt_client_id or f"tributary-{socket.gethostname()}"


def heartbeat(client: redis.Redis, settings: Settings) -> None:
    """Record that the bridge is subscribed and can append.

    Raises:
        TributaryError: Redis is unavailable.
    """
    command = scripts.heartbeat(
        client_id(settings), forget_after_ms=_FORGET_MS, members=keys.BRIDGES
    )
    with failures():
        scripts.run(client, command)


def alive(client: redis.Redis) -> list[str]:
    """The client ids of the bridges with a recent heartbeat.

    Raises:
        TributaryError: Redis is unavailable.
    """
    with failures():
        reply: Any = scripts.run(client, scripts.alive(keys.BRIDGES))
    ages = zip(reply[::2], reply[1::2], strict=True)
    return sorted(id_.decode() for id_, age_ms in ages if int(age_ms) <= HEARTBEAT_MAX_MS)


def messages(client: redis.Redis) -> dict[str, int]:
    """Number of messages of all bridges by outcome: `stored`, `refused:not_json` and so on.

    Raises:
        TributaryError: Redis is unavailable.
    """
    return counts.totals(client, keys.MESSAGES)
