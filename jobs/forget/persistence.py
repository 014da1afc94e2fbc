"""Rewrites the files of Redis: its append-only file keeps every command until then."""

from __future__ import annotations

import time
from typing import Any

import redis

from tributary.errors import Unavailable
from tributary.operate.forgetting.requests import Left
from tributary.store.redis_client import failures
from tributary.store.topology import servers

_POLL_S = 0.1
_TIMEOUT_S = 300.0
_IN_PROGRESS = "progress"  # in the error of a server that is doing it


def rewrite(client: redis.Redis) -> list[Left]:
    """Rewrite the append-only file of every master, and save the data where it is saved.

    Returns the files that it does not reach.

    Raises:
        Unavailable: a server did not finish in time, or could not write.
    """
    left = []
    for server in servers(client):
        with failures():
            info: Any = server.info()
            if info.get("aof_enabled"):
                _run(server, "BGREWRITEAOF", "aof_rewrite_in_progress", "aof_last_bgrewrite_status")
            if _saves(server):
                _run(server, "BGSAVE", "rdb_bgsave_in_progress", "rdb_last_bgsave_status")
            server.slowlog_reset()  # it shows arguments of slow commands
        if replicas := int(info.get("connected_slaves", 0)):
            left.append(
                Left(
                    f"files of {replicas} replicas",
                    "run BGREWRITEAOF, and BGSAVE if they save, on each replica",
                )
            )
    return left


def _saves(server: redis.Redis) -> bool:
    """Whether the server has a file of saved data, or may have one."""
    try:
        configured: Any = server.config_get("save", "appendonly")
    except redis.ResponseError:  # not permitted by a provider
        return True
    return bool(configured.get("save")) or configured.get("appendonly") != "yes"


def _run(server: redis.Redis, command: str, in_progress: str, status: str) -> None:
    """Run a background command that begins now, and wait until it is done."""
    deadline_s = time.monotonic() + _TIMEOUT_S
    has_begun = False
    while time.monotonic() < deadline_s:
        info: Any = server.info("persistence")
        if not (info[in_progress] or info.get("aof_rewrite_scheduled")):
            if has_begun:
                if info[status] == "ok":
                    return
                raise Unavailable(f"Redis could not finish {command}; its log has the reason")
            try:
                server.execute_command(command)  # type: ignore[no-untyped-call]
                has_begun = True
            except redis.ResponseError as error:  # another background command began meanwhile
                if _IN_PROGRESS not in str(error):
                    raise
        time.sleep(_POLL_S)
    raise Unavailable(f"Redis did not finish {command} in {_TIMEOUT_S:.0f} s")
