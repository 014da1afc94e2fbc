"""The plan of `tributary doctor --plan` as text."""

from __future__ import annotations

from tributary.cli.terminal import size
from tributary.operate import capacity
from tributary.operate.capacity import Plan

_DAY_S = 86_400
_FULL = "with all windows full"
_WINDOWS = {"latest": "without windows", "windows": _FULL, "all": _FULL}


def lines(found: Plan) -> list[str]:
    """One line for each role and resource."""
    load, use, processes = found.load, found.use, found.processes
    aggregates, streams = size(found.aggregates_bytes), size(found.stream_bytes)
    primaries = processes.primaries
    rows = {
        "load": f"{load.devices:,} devices, {_rate(load.readings_per_s)} readings per second "
        f"in requests of {load.batch}, {load.series:,} series, {load.partitions} partitions",
        "ingest": _role(use.ingest_cores, processes.ingest, "HTTP processes"),
        "aggregator": _role(use.aggregator_cores, processes.aggregators, "aggregators"),
        "redis": _role(use.redis_cores, primaries, "primaries")
        + (
            f" of a Redis Cluster, with at most {found.partitions_per_primary} of "
            f"{load.partitions} partitions each"
            if primaries > 1
            else ""
        ),
        "jobs": f"{use.jobs_cores:.2f} cores, if the history is kept",
        "memory": f"{size(found.memory_bytes)} of Redis, {size(found.memory_bytes * found.largest_share)} "
        f"per primary: aggregates {aggregates} {_WINDOWS[load.keep]}, full streams {streams}; "
        f"{size(found.process_bytes)} of HTTP processes and aggregators",
        "file": f"{size(use.file_bytes_per_s * _DAY_S)} per day written to append-only files, "
        f"{size(use.file_bytes_per_s / load.readings_per_s)} per reading; "
        f"rewritten at {size(found.file_max_bytes)}",
        "history": f"{size(found.history_bytes_per_day)} per day, {size(found.history_max_bytes)} "
        "when the oldest slots are deleted",
    }
    return [f"{name:12} {text}" for name, text in rows.items()]


def _role(cores: float, processes: int, name: str) -> str:
    """Its cores, and the processes among which they are divided."""
    limit = f"{capacity.UTILISATION:.0%}"
    return f"{cores:.2f} cores; {name} at {limit} of a core: {processes}"


def _rate(per_s: float) -> str:
    return f"{per_s:,.0f}" if per_s >= 10 else f"{per_s:.3g}"
