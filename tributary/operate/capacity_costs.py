"""What readings cost: the measured constants of the capacity model.

`scripts/bench capacity --calibrate` prints the first five groups, fitted to runs of a whole
deployment; docs/capacity.md names the benchmark of each of the others. These are of commit
4e55f69 on two cores, chosen so that they add up to what its parts cost alone, and older than the
present append, delivery and storage, which cost Redis less.
"""

from __future__ import annotations

import msgspec


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """CPU time in µs, sizes in bytes; a value is one metric of one reading."""

    # Per second of each process, while nothing happens.
    ingest_idle_us: float = 2_000.0
    redis_idle_us: float = 3_000.0
    aggregator_idle_us: float = 10_000.0
    # An HTTP process: a flush is what one tick of its event loop sends to Redis.
    ingest_request_us: float = 14.0
    ingest_value_us: float = 0.3
    ingest_flush_us: float = 45.0
    # Redis: each flush wakes it, each frame is appended and delivered, each commit is a script.
    redis_flush_us: float = 20.0
    redis_frame_us: float = 13.0
    redis_commit_us: float = 10.0
    redis_value_us: float = 8.0
    # An aggregator: in a turn it reads, folds and commits what its partitions have.
    aggregator_turn_us: float = 150.0
    aggregator_frame_us: float = 2.5
    aggregator_value_us: float = 7.4
    # The append-only file.
    file_frame_bytes: float = 330.0
    file_commit_bytes: float = 365.0
    file_reading_bytes: float = 150.0
    file_value_bytes: float = 140.0

    # The highest rates of one process; beyond them, more is done at once.
    flushes_per_s: float = 7_000.0
    turns_per_s: float = 400.0

    # Memory of Redis.
    series_bytes: float = 2_500.0  # with every window full
    latest_series_bytes: float = 320.0  # of a metric with keep = "latest"
    device_bytes: float = 200.0  # its response and its name, besides what a metric adds
    entry_bytes: float = 90.0  # of a stream, with one reading
    entry_reading_bytes: float = 45.0  # of each further reading in it
    entry_value_bytes: float = 22.0  # of each further metric of a reading

    # Memory of the other processes.
    ingest_process_bytes: float = 120e6
    aggregator_process_bytes: float = 65e6
    aggregator_series_bytes: float = 3_000.0  # of a series that it keeps

    # The history in SQLite, by the role jobs.
    history_slot_bytes: float = 57.0
    jobs_slot_us: float = 62.0
    jobs_value_us: float = 3.0


COSTS = Costs()
