"""The Redis server as INFO reports it, and whether it replies before it writes.

With `appendfsync everysec` Redis does not write to its append-only file while a background
fsync runs: it replies, and postpones the write for up to two seconds. Postponed writes are lost
if it dies. `aof_delayed_fsync` counts fsyncs that took longer than that. A shorter one is
visible only while it runs, in `aof_pending_bio_fsync`, so a running fsync is watched for a
moment. LATENCY does not help: it measures the write, which happens after the fsync.
https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/
"""

from __future__ import annotations

import math
import time
from typing import Annotated, Any, Self

import msgspec
import redis
from msgspec import Meta

from tributary.operate.status.described import described

Text = Annotated[str, Meta(min_length=1)]
SLOW_MS = 100  # a longer fsync is reported as a warning
_POLL_S = 0.01
_UNWRITTEN_WARNS_BYTES = 65_536  # less may be the commands of one turn of its event loop
_REMEDY = (
    "with appendfsync everysec Redis then replies before it writes, and up to two seconds are "
    "lost if it dies; use a faster disk, or appendfsync always with durability=fsync"
)


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The server; of a cluster, the worst state, the fullest memory and the sum of the fsyncs."""

    version: Text
    nodes: Annotated[int, Meta(ge=1)]
    role: Annotated[str, Meta(description="`master`, or the role of a node that is not a master")]
    used_memory_bytes: Annotated[int, described("memory used by Redis")]
    max_memory_bytes: Annotated[int, described("maxmemory of Redis; 0 if unlimited")]
    aof_last_write_status: Text
    rdb_last_bgsave_status: Text
    aof_delayed_fsyncs: Annotated[int, described("fsyncs that delayed acknowledged writes by 2 s")]
    aof_pending_fsyncs: Annotated[
        int, described("fsyncs running now; the average over time is about the seconds one takes")
    ]
    aof_slow_fsyncs: Annotated[int, described("running fsyncs that take longer than 100 ms")]
    aof_unwritten_bytes: Annotated[
        int, described("acknowledged bytes not yet in the append-only file")
    ]

    @classmethod
    def from_nodes(cls, nodes: list[redis.Redis]) -> Self:
        """Read INFO of every node. A node whose fsync is running is watched for `SLOW_MS`."""
        infos: list[Any] = [node.info() for node in nodes]
        fullest = max(infos, key=lambda info: info["used_memory"] / (info["maxmemory"] or math.inf))
        return cls(
            version=fullest.get("valkey_version", fullest["redis_version"]),
            nodes=len(infos),
            role=next((info["role"] for info in infos if info["role"] != "master"), "master"),
            used_memory_bytes=fullest["used_memory"],
            max_memory_bytes=fullest["maxmemory"],
            aof_last_write_status=_worst("aof_last_write_status", infos),
            rdb_last_bgsave_status=_worst("rdb_last_bgsave_status", infos),
            aof_delayed_fsyncs=_sum("aof_delayed_fsync", infos),
            aof_pending_fsyncs=_sum("aof_pending_bio_fsync", infos),
            aof_slow_fsyncs=sum(
                bool(info.get("aof_pending_bio_fsync")) and fsync_ms(node, SLOW_MS) >= SLOW_MS
                for node, info in zip(nodes, infos, strict=True)
            ),
            aof_unwritten_bytes=_sum("aof_buffer_length", infos),
        )

    def fsync_warnings(self) -> list[str]:
        """Describe what puts acknowledged writes at risk, each with its remedy."""
        found = []
        if self.aof_delayed_fsyncs:
            found.append(
                "delayed fsyncs of the append-only file since the server started: "
                f"{self.aof_delayed_fsyncs}; {_REMEDY}"
            )
        if self.aof_slow_fsyncs:
            found.append(slow_fsync(SLOW_MS))
        if self.aof_pending_fsyncs and self.aof_unwritten_bytes >= _UNWRITTEN_WARNS_BYTES:
            found.append(
                f"{self.aof_unwritten_bytes} acknowledged bytes are not yet in the append-only "
                f"file because an fsync is running; {_REMEDY}"
            )
        return found


def slow_fsync(milliseconds: int) -> str:
    """The warning that an fsync ran for at least this long."""
    return f"an fsync of the append-only file ran for at least {milliseconds} ms; {_REMEDY}"


def longest_fsync_ms(node: redis.Redis, watch_ms: int) -> int:
    """Watch the fsyncs of a node; returns the longest, or the first that is slow."""
    longest, until_s = 0, time.monotonic() + watch_ms / 1000
    while longest < SLOW_MS and time.monotonic() < until_s:
        longest = max(longest, fsync_ms(node, watch_ms))
        time.sleep(_POLL_S)
    return longest


def fsync_ms(node: redis.Redis, max_ms: int) -> int:
    """Wait for a running fsync, at most `max_ms`; returns how long it ran, 0 if none does."""
    began_s, took_ms = time.monotonic(), 0
    while took_ms < max_ms and node.info("persistence").get("aof_pending_bio_fsync"):
        took_ms = round((time.monotonic() - began_s) * 1000)
        time.sleep(_POLL_S)
    return took_ms


def _worst(name: str, infos: list[dict[str, Any]]) -> str:
    return next((info[name] for info in infos if info.get(name, "ok") != "ok"), "ok")


def _sum(name: str, infos: list[dict[str, Any]]) -> int:
    return sum(info.get(name, 0) for info in infos)
