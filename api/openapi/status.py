"""What `/api/v1/status` tells: where all readings went, and who is at work on them."""

from __future__ import annotations

from typing import Any

from api.openapi import parts
from api.openapi.parts import Part, counted, ref, whole

_ABOUT = """\
Counts are of readings, since the data began: accepted = applied + late + dead + lost + pending.
The answer is at most a second old, however many ask.
It tells of the whole deployment, so any token with the scope `collect` may ask."""

_SUMS = {
    "accepted": "answered with 200",
    "applied": "folded into the values that /collect answers",
    "late": "too old for any window: in the totals only",
    "dead": "buried: they could not be read; see `tributary dead list`",
    "lost": "accepted, and gone before anybody read them: trimmed, or lost by Redis",
    "lost_at_restart": "acknowledged, but missing when Redis came back; counted as lost",
    "pending": "accepted, and none of the other yet",
    "missing": "of pending: no longer in the stream, they will be counted as lost",
    "refused": "never accepted: the backlog was full",
}
_ENTRIES = ("accepted", "applied", "dead", "lost", "pending", "missing", "replayed")
_SECONDS = {"type": "number", "minimum": 0}


def paths() -> dict[str, Any]:
    """The operation that tells it."""
    return {
        "/api/v1/status": {
            "get": parts.operation(
                "getStatus",
                "operate",
                "Where all readings went, and who is at work",
                {
                    **parts.answer("Status", "As the partitions themselves count it"),
                    **parts.errors(401, 403, 503),
                },
                description=_ABOUT,
            )
        }
    }


def schemas() -> dict[str, Part]:
    """The shapes of the answer."""
    sums = {name: counted(meaning) for name, meaning in _SUMS.items()}
    lag_s = {**_SECONDS, "description": "Age of the oldest entry that is pending"}
    kept = {"devices": counted("with a value"), "series": counted("metrics of devices")}
    return {
        "Status": whole(
            {
                **sums,
                "lag_entries": counted("entries of the streams that are pending"),
                "lag_s": lag_s,
                **kept,
                "aggregators": {"type": "array", "items": ref("Aggregator")},
                "server": ref("Server"),
                "stream_max_entries": counted("entries that a stream keeps"),
                "partitions": {"type": "array", "minItems": 1, "items": ref("Partition")},
            }
        ),
        "Partition": whole(
            {
                "partition": counted("its number"),
                **sums,
                "replayed": counted("dead ones that were appended again, and count as new"),
                "entries": ref("Entries"),
                "lag_s": lag_s,
                "stream_entries": counted("in the stream, applied ones included"),
                **kept,
            }
        ),
        "Entries": {
            **whole({name: counted("entries") for name in _ENTRIES}),
            "description": "The same account in entries, each of which holds some readings",
        },
        **_at_work(),
    }


def _at_work() -> dict[str, Part]:
    text = {"type": "string", "minLength": 1}
    numbers = {"type": "array", "items": counted("number of a partition")}
    return {
        "Aggregator": whole(
            {
                "id": text,
                "partitions": numbers,
                "heartbeat_age_ms": counted("since it was last heard of"),
            }
        ),
        "Server": whole(
            {
                "version": text,
                "nodes": {"type": "integer", "minimum": 1},
                "role": {**text, "description": "`master`, or that of a node which is none"},
                "used_memory_bytes": counted("of the node that is fullest"),
                "max_memory_bytes": counted("its limit, 0 for none"),
                "aof_last_write_status": {**text, "description": "`ok`, or that of a node in need"},
                "rdb_last_bgsave_status": {
                    **text,
                    "description": "`ok`, or that of a node in need",
                },
                "aof_delayed_fsyncs": counted("fsyncs that took over two seconds, of all nodes"),
                "aof_pending_fsyncs": counted("fsyncs running now"),
                "aof_slow_fsyncs": counted("of those, the ones that go on for over 100 ms"),
                "aof_unwritten_bytes": counted("acknowledged, and not in the file yet"),
            }
        ),
    }
