"""What makes a deployment unhealthy, and what puts its readings at risk: each with its remedy."""

from __future__ import annotations

from tributary.operate.status.deployment_status import Status
from tributary.operate.status.jobs import Jobs
from tributary.operate.status.server import Server

JOB_WAITS_S = 600.0  # the workers of jobs do not keep up, or there are none
BEHIND_S = 60.0  # the aggregators do not keep up when an entry is pending for longer
HISTORY_BEHIND_S = 600.0  # nor do the jobs when it is not in the history for longer
_FULL = 0.9  # share of a limit at which readings are about to be rejected or trimmed


def problems(status: Status) -> list[str]:
    """Why a deployment is unhealthy; empty if it is healthy."""
    found = []
    if not status.aggregators:
        found.append(
            "no aggregator is alive: readings are accepted but not applied; "
            "start one with `tributary aggregator`"
        )
    elif status.lag_s > BEHIND_S:
        found.append(
            f"the oldest entry has been pending for {status.lag_s:.0f} s: the aggregators do not "
            "keep up; start more of them, or check their logs"
        )
    return [*found, *_server_problems(status.server), *_nearly_full(status)]


def warnings(status: Status) -> list[str]:
    """What an operator should look at without the deployment being unhealthy."""
    return [
        *_history_warnings(status),
        *status.server.fsync_warnings(),
        *_job_warnings(status.jobs),
    ]


def _job_warnings(jobs: Jobs | None) -> list[str]:
    if jobs is None:
        text = (
            "the queue of jobs is unavailable, so nothing reaches the history: check the Redis at "
            "TRIBUTARY_JOBS_URL, which a Redis Cluster needs beside it"
        )
        return [text]
    found = []
    if jobs.failed:
        found.append(
            f"failed jobs: {jobs.failed}; `tributary jobs list` shows why, and "
            "`tributary jobs retry all` runs them again"
        )
    if jobs.oldest_s > JOB_WAITS_S:
        found.append(
            f"a job has waited for {jobs.oldest_s:.0f} s: start `tributary jobs`, or raise "
            "TRIBUTARY_JOBS_WORKERS"
        )
    return found


def _history_warnings(status: Status) -> list[str]:
    if status.history is None or status.history.lag_s <= HISTORY_BEHIND_S:
        return []
    return [
        (
            f"the history is {status.history.lag_s:.0f} s behind and will lack what is trimmed before; "
            "start or check `tributary jobs` and its database, or set TRIBUTARY_HISTORY=off"
        )
    ]


def _server_problems(server: Server) -> list[str]:
    found = []
    if server.role != "master":
        found.append(f"the server is a {server.role} and read-only; use the URL of the master")
    if server.aof_last_write_status != "ok":
        found.append(
            "the server cannot write its append-only file "
            f"(aof_last_write_status is {server.aof_last_write_status}); check its disk"
        )
    if server.rdb_last_bgsave_status != "ok":
        found.append(
            "the last snapshot of the server failed "
            f"(rdb_last_bgsave_status is {server.rdb_last_bgsave_status}): it rejects writes "
            "if stop-writes-on-bgsave-error is yes; check its disk"
        )
    return found


def _nearly_full(status: Status) -> list[str]:
    found = []
    used, limit = status.server.used_memory_bytes, status.server.max_memory_bytes
    if limit and used >= _FULL * limit:
        found.append(
            f"the server uses {used} of {limit} bytes (maxmemory) and will soon reject readings; "
            "raise maxmemory, or lower --stream-max-entries"
        )
    max_entries = status.stream_max_entries
    full = [p for p in status.partitions if p.entries.pending >= _FULL * max_entries]
    if full:
        numbers = ", ".join(str(p.partition) for p in full)
        found.append(
            f"{_FULL:.0%} of the {max_entries} entries a stream keeps are unread in partition "
            f"{numbers}: readings are rejected or lost there; start more aggregators"
        )
    behind = [
        str(p.partition)
        for p in status.partitions
        if p.history and p.history.is_required and p.history.lag_entries >= _FULL * max_entries
    ]
    if behind:
        found.append(
            f"{_FULL:.0%} of the {max_entries} entries a stream keeps are not in the history, which "
            f"is required, in partition {', '.join(behind)}: readings are rejected there; start or "
            "check `tributary jobs` and its database"
        )
    return found
