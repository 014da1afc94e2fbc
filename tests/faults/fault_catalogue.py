"""Every fault by name: how to inject it, into which deployment, and which check applies."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from faults import (
    checks,
    clock_faults,
    disk_faults,
    fleet_faults,
    network_faults,
    process_faults,
    server_faults,
    stream_faults,
)
from faults.checks import Check
from faults.rig import Rig, RigOptions

Inject = Callable[[Rig, int], None]
Prepare = Callable[[Path, RigOptions], AbstractContextManager[RigOptions]]


class Fault(NamedTuple):
    """A fault that `scripts/chaos` can inject."""

    id: str
    title: str
    inject: Inject
    times: int  # by default
    options: RigOptions = RigOptions()
    check: Check = checks.exactly_once
    prepare: Prepare | None = None  # before the deployment starts
    storm_times: int = 0  # in a storm with other faults; 0: needs a deployment of its own


_EVERYSEC = RigOptions(server={"appendfsync": "everysec"})
_WIDE = _EVERYSEC._replace(settings={"body_max_bytes": 1 << 24, "in_flight_max_bytes": 1 << 28})
_DEBIAN = "redis-server"

CATALOGUE = (
    Fault("F1", "kill -9 an aggregator", process_faults.kill_aggregators, 20, storm_times=3),
    Fault("F2", "kill -9 at each failpoint", process_faults.kill_at_failpoints, 3),
    Fault("F3", "kill -9 an HTTP worker of ingest", process_faults.kill_http_workers, 20, storm_times=3),
    Fault("F4", "rolling restart by SIGTERM", process_faults.restart_rolling, 5),
    Fault("F5", "zombie: SIGSTOP, ownership moves, SIGCONT", process_faults.suspend_owners, 20, storm_times=2),
    Fault("F6", "kill -9 the server, appendfsync always", server_faults.kill_server, 10, storm_times=1),
    Fault("F7", "kill -9 the server, everysec", server_faults.kill_server, 10, _EVERYSEC),
    Fault(
        "F8", "machine crash: unsynced writes lost, everysec", disk_faults.lose_unsynced_writes, 3,
        _EVERYSEC._replace(binary=_DEBIAN), checks.lost_within_everysec, disk_faults.traceable,
    ),
    Fault("F9", "append-only file truncated within its last record", disk_faults.truncate_last_record, 40),
    Fault("F10", "SIGSTOP the server for 1, 5, 30 s", server_faults.suspend_server, 2),
    Fault(
        "F11", "reply dropped after execution, append and commit",
        network_faults.drop_replies, 500, storm_times=30,
    ),
    Fault(
        "F12", "connection reset before a command or within a reply",
        network_faults.reset_connections, 80, storm_times=20,
    ),
    Fault("F13", "half-open connections", network_faults.half_open, 3, storm_times=1),
    Fault("F14", "cut off from Redis: reset, blackholed in one or both directions", network_faults.cut, 5, storm_times=1),
    Fault("F15", "200 ms ± 50 in each direction, 5 % of chunks stalled", network_faults.slow, 1),
    Fault(
        "F16", "disk full, everysec, then freed", disk_faults.fill_disk, 2, _EVERYSEC,
        prepare=disk_faults.small_disk,
    ),
    Fault(
        "F17", "disk full, always: the server exits", disk_faults.fill_disk_until_exit, 2,
        prepare=disk_faults.small_disk,
    ),
    Fault(
        "F18", "fdatasync fails with EIO", disk_faults.fail_syncs, 2,
        _EVERYSEC._replace(binary=_DEBIAN), prepare=disk_faults.traceable,
    ),
    Fault("F19", "maxmemory reached, noeviction", server_faults.fill_memory, 3, storm_times=1),
    Fault("F20", "eviction policy set: roles refuse to start", server_faults.set_eviction_policy, 3),
    Fault("F21", "memory limit on an aggregator", process_faults.limit_memory, 3, storm_times=1),
    Fault(
        "F22", "clock of the server ± 1 h", clock_faults.jump_server, 4, RigOptions(binary=_DEBIAN),
        prepare=clock_faults.server_clock,
    ),
    Fault(
        "F23", "clock of ingest ± 1 h", clock_faults.jump_host, 2, prepare=clock_faults.host_clock
    ),
    Fault("F24", "SCRIPT FLUSH", server_faults.flush_scripts, 10, storm_times=2),
    Fault("F25", "XGROUP DESTROY", stream_faults.destroy_groups, 10, storm_times=2),
    Fault("F26", "DEL a stream with unread entries", stream_faults.delete_stream, 3,
          check=checks.all_losses_reported),
    Fault("F26b", "FLUSHALL", stream_faults.flush_all, 2, check=checks.at_most_once),
    Fault("F27", "two clients create the group at once", stream_faults.create_groups_concurrently, 1000, storm_times=50),
    Fault(
        "F28", "the backlog reaches its limit", stream_faults.fill_backlog, 1,
        RigOptions(settings={"stream_max_entries": 100}, pause_s=0.002), checks.refused_but_not_lost,
    ),
    Fault("F29", "XTRIM of unread entries", stream_faults.trim_unread, 3, check=checks.all_losses_reported),
    Fault("F30", "something else reads from the group", stream_faults.read_from_outside, 20),
    Fault("F31", "entries that cannot be applied", stream_faults.append_invalid_entries, 20, storm_times=3),
    Fault("F32", "a fleet joins: thousands of new devices, 100,000 per minute",
          fleet_faults.join_fleet, 100, _EVERYSEC),
    Fault(
        "F33", "a wide batch: thousands of new devices of 64 metrics in one request",
        fleet_faults.record_wide_batch, 10, _WIDE,
    ),
    Fault("F34", "a backlog at start: thousands of entries, no series in memory",
          fleet_faults.start_on_backlog, 1000, _EVERYSEC),
)  # fmt: skip


def find(id_: str) -> Fault:
    """The fault with this id.

    Raises:
        KeyError: unknown id.
    """
    return {fault.id: fault for fault in CATALOGUE}[id_.upper().replace("B", "b")]


# The long run: a fault and how often it must be survived before docs/reliability.md claims it.
CLAIMS = (
    # More aggregators, so that one can be killed while another starts.
    (find("F1")._replace(options=RigOptions(aggregators=4)), 1000),
    (find("F3"), 200),
    # Few readings, since each server start loads them all.
    (find("F6")._replace(options=RigOptions(pause_s=0.02)), 100),
    (find("F11"), 10_000),
    (find("F5"), 100),
    (find("F25"), 50),
)
