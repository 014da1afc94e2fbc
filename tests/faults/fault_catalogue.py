"""Every fault by name: what is done, to what kind of deployment, and what must come of it."""

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
from faults.checks import Judge
from faults.rig import Needs, Stand

Inject = Callable[[Stand, int], None]
Prepare = Callable[[Path, Needs], AbstractContextManager[Needs]]


class Fault(NamedTuple):
    """A named fault."""

    id: str
    title: str
    inject: Inject
    times: int  # how often by default
    needs: Needs = Needs()
    judge: Judge = checks.exact
    prepare: Prepare | None = None  # what must be there before the deployment
    storm: int = 0  # how often at once among others on one deployment; 0: it needs its own


_EVERYSEC = Needs(server={"appendfsync": "everysec"})
_WIDE = _EVERYSEC._replace(settings={"body_max_bytes": 1 << 24, "in_flight_max_bytes": 1 << 28})
_DEBIAN = "redis-server"

CATALOGUE = (
    Fault("F1", "kill -9 an aggregator", process_faults.kill_aggregators, 20, storm=3),
    Fault("F2", "die at each named point of the code", process_faults.die_at_points, 3),
    Fault("F3", "kill -9 an HTTP worker of ingest", process_faults.kill_http_workers, 20, storm=3),
    Fault("F4", "rolling restart by SIGTERM", process_faults.restart_in_order, 5),
    Fault("F5", "zombie: SIGSTOP, ownership moves, SIGCONT", process_faults.make_zombies, 20, storm=2),
    Fault("F6", "kill -9 the server, appendfsync always", server_faults.kill_server, 10, storm=1),
    Fault("F7", "kill -9 the server, everysec", server_faults.kill_server, 10, _EVERYSEC),
    Fault(
        "F8", "machine crash: unsynced writes gone, everysec", disk_faults.forget_unsynced, 3,
        _EVERYSEC._replace(binary=_DEBIAN), checks.lost_within_everysec, disk_faults.traced,
    ),
    Fault("F9", "append-only file torn in its last record", disk_faults.tear_tail, 40),
    Fault("F10", "SIGSTOP the server 1, 5, 30 s", server_faults.suspend_server, 2),
    Fault(
        "F11", "reply swallowed after execution, append and commit",
        network_faults.swallow_replies, 500, storm=30,
    ),
    Fault(
        "F12", "connection reset before sending, or amid a reply",
        network_faults.reset_connections, 80, storm=20,
    ),
    Fault("F13", "half-open connections", network_faults.half_open, 3, storm=1),
    Fault("F14", "cut off from Redis: reset, dark, one way dark", network_faults.cut, 5, storm=1),
    Fault("F15", "200 ms ± 50 each way, 5 % of chunks stalled", network_faults.slow, 1),
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
        _EVERYSEC._replace(binary=_DEBIAN), prepare=disk_faults.traced,
    ),
    Fault("F19", "maxmemory reached, noeviction", server_faults.fill_memory, 3, storm=1),
    Fault("F20", "a policy that evicts: start refused", server_faults.evict, 3),
    Fault("F21", "memory limit on an aggregator", process_faults.starve_aggregators, 3, storm=1),
    Fault(
        "F22", "the server's clock ± 1 h", clock_faults.jump_server, 4, Needs(binary=_DEBIAN),
        prepare=clock_faults.server_clock,
    ),
    Fault(
        "F23", "the clock of ingest ± 1 h", clock_faults.jump_host, 2, prepare=clock_faults.host_clock
    ),
    Fault("F24", "SCRIPT FLUSH", server_faults.flush_scripts, 10, storm=2),
    Fault("F25", "XGROUP DESTROY", stream_faults.destroy_groups, 10, storm=2),
    Fault("F26", "DEL a stream with unread entries", stream_faults.delete_stream, 3,
          judge=checks.accounted),
    Fault("F26b", "FLUSHALL", stream_faults.flush_all, 2, judge=checks.exact_but_lost),
    Fault("F27", "two workers create the group at once", stream_faults.race_for_groups, 1000, storm=50),
    Fault(
        "F28", "the backlog reaches its cap", stream_faults.fill_backlog, 1,
        Needs(settings={"stream_max_entries": 100}, pause_s=0.002), checks.refused_not_lost,
    ),
    Fault("F29", "XTRIM of unread entries", stream_faults.trim_unread, 3, judge=checks.accounted),
    Fault("F30", "dead consumers with entries", stream_faults.leave_dead_consumers, 200, storm=20),
    Fault("F31", "entries that cannot be applied", stream_faults.poison, 20, storm=3),
    Fault("F32", "a fleet joins: thousands of new devices, 100,000 in a minute",
          fleet_faults.join_fleet, 100, _EVERYSEC),
    Fault(
        "F33", "a wide batch: thousands of new devices of 64 metrics in one request",
        fleet_faults.record_wide_batch, 10, _WIDE,
    ),
    Fault("F34", "a backlog at start: thousands of entries, no series in memory",
          fleet_faults.start_on_backlog, 1000, _EVERYSEC),
)  # fmt: skip


def find(id_: str) -> Fault:
    """The fault of that name.

    Raises:
        KeyError: there is none.
    """
    return {fault.id: fault for fault in CATALOGUE}[id_.upper().replace("B", "b")]
