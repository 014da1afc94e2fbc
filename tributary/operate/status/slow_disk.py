"""Whether Redis replies before it writes: what INFO says of its background fsyncs.

With `appendfsync everysec` Redis does not write to its append-only file while a background
fsync runs: it replies, and postpones the write for up to two seconds. What it holds back is
lost if it dies. `aof_delayed_fsync` counts the fsyncs that were waited for in vain. A shorter
one shows only while it runs, in `aof_pending_bio_fsync`, so one that is found running is watched
for a moment. LATENCY does not help: it measures the write, which is made after the fsync.
https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import redis

SLOW_MS = 100  # an fsync that takes longer has a warning
_POLL_S = 0.01
_SLOW = "aof_fsync_is_slow"  # among the figures of a node: what `look` has found
_UNWRITTEN_WARNS_BYTES = 65_536  # less may be the commands of one turn of its event loop
_REMEDY = (
    "with appendfsync everysec Redis then replies before it writes, and up to two seconds are "
    "lost if it dies; use a faster disk, or appendfsync always with durability=fsync"
)


def look(server: redis.Redis, info: Mapping[str, Any]) -> dict[str, Any]:
    """INFO of a node, and whether an fsync that runs at this moment goes on for over `SLOW_MS`.

    Waits no longer than that, and only if one is running.
    """
    is_slow = bool(info.get("aof_pending_bio_fsync")) and runs_ms(server, SLOW_MS) >= SLOW_MS
    return {**info, _SLOW: is_slow}


def longest_ms(server: redis.Redis, watch_ms: int) -> int:
    """How long an fsync was seen running at least: the longest, or the first that is slow."""
    longest, until_s = 0, time.monotonic() + watch_ms / 1000
    while longest < SLOW_MS and time.monotonic() < until_s:
        longest = max(longest, runs_ms(server, watch_ms))
        time.sleep(_POLL_S)
    return longest


def runs_ms(server: redis.Redis, at_most_ms: int) -> int:
    """For how long an fsync goes on running from now; 0 if none runs."""
    began_s, took_ms = time.monotonic(), 0
    while took_ms < at_most_ms and server.info("persistence").get("aof_pending_bio_fsync"):
        took_ms = round((time.monotonic() - began_s) * 1000)
        time.sleep(_POLL_S)
    return took_ms


def figures(nodes: list[dict[str, Any]]) -> dict[str, int]:
    """The figures of all nodes together, by the names that `status` gives them."""
    return {
        "aof_delayed_fsyncs": sum(node.get("aof_delayed_fsync", 0) for node in nodes),
        "aof_pending_fsyncs": sum(node.get("aof_pending_bio_fsync", 0) for node in nodes),
        "aof_slow_fsyncs": sum(node.get(_SLOW, False) for node in nodes),
        "aof_unwritten_bytes": sum(node.get("aof_buffer_length", 0) for node in nodes),
    }


def warnings(server: Mapping[str, Any]) -> list[str]:
    """What an operator should know of the disk, each with its remedy.

    Args:
        server: figures by the names of `figures`.
    """
    found = []
    if server["aof_delayed_fsyncs"]:
        found.append(
            f"fsyncs of the append-only file that were delayed since the server started: "
            f"{server['aof_delayed_fsyncs']}; {_REMEDY}"
        )
    if server["aof_slow_fsyncs"]:
        found.append(ran_for(SLOW_MS))
    if server["aof_pending_fsyncs"] and server["aof_unwritten_bytes"] >= _UNWRITTEN_WARNS_BYTES:
        found.append(
            f"{server['aof_unwritten_bytes']} acknowledged bytes are not in the append-only file "
            f"yet, since an fsync is running; {_REMEDY}"
        )
    return found


def ran_for(milliseconds: int) -> str:
    """The warning that an fsync was seen running for so long."""
    return f"an fsync of the append-only file ran for at least {milliseconds} ms; {_REMEDY}"
