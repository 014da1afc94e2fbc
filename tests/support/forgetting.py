"""Tombstones, and what names devices, for tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import redis

from support.processes import Server
from tributary.model.frame import Block, pack, readings_in
from tributary.settings import Settings
from tributary.store import acl, keys, scripts
from tributary.store.tombstone import Tombstone

START_MS = 1_700_000_000_000


def append(client: redis.Redis, partition: int, devices: Iterable[str], before: str = "") -> bytes:
    """Append a tombstone with forget.lua; its id."""
    text = Tombstone("test", tuple(devices), before).packed()
    limits = {"max_entries": "1000000", "unread_max": "0", "records_max": 1000}
    return bytes(scripts.run(client, scripts.forget(partition, **limits, text=text)))  # type: ignore[arg-type]


def block(device: str, second: int, metric: str = "m") -> Block:
    return Block(device, START_MS + 1000 * second, {metric: float(second)})


def column(devices: list[str]) -> Block:
    packed = b"".join((START_MS + n).to_bytes(8, "little") for n in range(len(devices)))
    return Block(devices, packed, {"m": b"\0" * len(packed)})


def files_with(server: Server, name: str) -> list[str]:
    """The files of a server that contain a name."""
    folder = Path(server.url.removeprefix("unix://")).parent
    held = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in held if name.encode() in path.read_bytes()]


def bury(client: redis.Redis, partition: int, blocks: list[Block]) -> None:
    """Write a dead entry, as commit.lua does."""
    fields = msgspec.msgpack.encode([b"e", b"1", b"n", b"3", b"r", pack(blocks)])
    held: Any = {"id": "1-0", "reason": "test", "readings": readings_in(blocks), "fields": fields}
    client.xadd(keys.dead(partition), held)


def as_user(server: Server, settings: Settings, role: str) -> Settings:
    """The settings with a Redis user that has the permissions of a role only."""
    server.client.execute_command("ACL", "SETUSER", role, "on", ">x", *acl.rules(role))
    url = settings.redis_url.replace("unix://", f"unix://{role}:x@")
    return msgspec.structs.replace(settings, redis_url=url)


def texts(client: redis.Redis) -> bytes:
    """Every key and value of a server."""
    found = b""
    for key in client.scan_iter():
        found += b"\n" + key + b" " + client.dump(key)
    return found
