"""Whether Redis replies before it writes: what INFO says of its background fsyncs. Pure.

With `appendfsync everysec` Redis does not write to its append-only file while a background
fsync runs: it replies, and postpones the write for up to two seconds. What it holds back is
lost if it dies. `aof_delayed_fsync` counts the fsyncs that were waited for in vain; a shorter
wait shows only while it lasts, in `aof_pending_bio_fsync` and `aof_buffer_length`.
https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_UNWRITTEN_WARNS_BYTES = 65_536  # less may be the commands of one turn of its event loop
_REMEDY = (
    "with appendfsync everysec Redis then replies before it writes, and up to two seconds are "
    "lost if it dies; use a faster disk, or appendfsync always with durability=fsync"
)


def figures(nodes: list[dict[str, Any]]) -> dict[str, int]:
    """The figures of all nodes together, by the names that `status` gives them."""
    return {
        "aof_delayed_fsyncs": sum(node.get("aof_delayed_fsync", 0) for node in nodes),
        "aof_pending_fsyncs": sum(node.get("aof_pending_bio_fsync", 0) for node in nodes),
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
    if server["aof_pending_fsyncs"] and server["aof_unwritten_bytes"] >= _UNWRITTEN_WARNS_BYTES:
        found.append(
            f"{server['aof_unwritten_bytes']} acknowledged bytes are not in the append-only file "
            f"yet, since an fsync is running; {_REMEDY}"
        )
    return found


def still_running(seconds: float) -> str:
    """The warning that an fsync was running at each look during some seconds."""
    return f"an fsync of the append-only file has been running for over {seconds:.1f} s; {_REMEDY}"
