"""Every fault by name: what is done, to what kind of deployment, and what must come of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from faults import clocks, disks, fleets, judge, networks, process_faults, servers, streams
from faults.judge import Judge
from faults.stand import Needs, Stand

Inject = Callable[[Stand, int], None]
Prepare = Callable[[Path, Needs], AbstractContextManager[Needs]]


class Fault(NamedTuple):
    """A named fault."""

    id: str
    title: str
    inject: Inject
    times: int  # how often by default
    needs: Needs = Needs()
    judge: Judge = judge.exact
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
    Fault("F6", "kill -9 the server, appendfsync always", servers.kill_server, 10, storm=1),
    Fault("F7", "kill -9 the server, everysec", servers.kill_server, 10, _EVERYSEC),
    Fault(
        "F8", "machine crash: unsynced writes gone, everysec", disks.forget_unsynced, 3,
        _EVERYSEC._replace(binary=_DEBIAN), judge.lost_within_everysec, disks.traced,
    ),
    Fault("F9", "append-only file torn in its last record", disks.tear_tail, 40),
    Fault("F10", "SIGSTOP the server 1, 5, 30 s", servers.suspend_server, 2),
    Fault(
        "F11", "reply swallowed after execution, append and commit",
        networks.swallow_replies, 500, storm=30,
    ),
    Fault(
        "F12", "connection reset before sending, or amid a reply",
        networks.reset_connections, 80, storm=20,
    ),
    Fault("F13", "half-open connections", networks.half_open, 3, storm=1),
    Fault("F14", "cut off from Redis: reset, dark, one way dark", networks.cut, 5, storm=1),
    Fault("F15", "200 ms ± 50 each way, 5 % of chunks stalled", networks.slow, 1),
    Fault(
        "F16", "disk full, everysec, then freed", disks.fill_disk, 2, _EVERYSEC,
        prepare=disks.small_disk,
    ),
    Fault(
        "F17", "disk full, always: the server exits", disks.fill_disk_until_exit, 2,
        prepare=disks.small_disk,
    ),
    Fault(
        "F18", "fdatasync fails with EIO", disks.fail_syncs, 2,
        _EVERYSEC._replace(binary=_DEBIAN), prepare=disks.traced,
    ),
    Fault("F19", "maxmemory reached, noeviction", servers.fill_memory, 3, storm=1),
    Fault("F20", "a policy that evicts: start refused", servers.evict, 3),
    Fault("F21", "memory limit on an aggregator", process_faults.starve_aggregators, 3, storm=1),
    Fault(
        "F22", "the server's clock ± 1 h", clocks.jump_server, 4, Needs(binary=_DEBIAN),
        prepare=clocks.server_clock,
    ),
    Fault(
        "F23", "the clock of ingest ± 1 h", clocks.jump_host, 2, prepare=clocks.host_clock
    ),
    Fault("F24", "SCRIPT FLUSH", servers.flush_scripts, 10, storm=2),
    Fault("F25", "XGROUP DESTROY", streams.destroy_groups, 10, storm=2),
    Fault("F26", "DEL a stream with unread entries", streams.delete_stream, 3,
          judge=judge.accounted),
    Fault("F26b", "FLUSHALL", streams.flush_all, 2, judge=judge.exact_but_lost),
    Fault("F27", "two workers create the group at once", streams.race_for_groups, 1000, storm=50),
    Fault(
        "F28", "the backlog reaches its cap", streams.fill_backlog, 1,
        Needs(settings={"stream_max_entries": 100}, pause_s=0.002), judge.refused_not_lost,
    ),
    Fault("F29", "XTRIM of unread entries", streams.trim_unread, 3, judge=judge.accounted),
    Fault("F30", "dead consumers with entries", streams.leave_dead_consumers, 200, storm=20),
    Fault("F31", "entries that cannot be applied", streams.poison, 20, storm=3),
    Fault("F32", "a fleet joins: thousands of new devices, 100,000 in a minute",
          fleets.join_fleet, 100, _EVERYSEC),
    Fault(
        "F33", "a wide batch: thousands of new devices of 64 metrics in one request",
        fleets.record_wide_batch, 10, _WIDE,
    ),
    Fault("F34", "a backlog at start: thousands of entries, no series in memory",
          fleets.start_on_backlog, 1000, _EVERYSEC),
)  # fmt: skip


def find(id_: str) -> Fault:
    """The fault of that name.

    Raises:
        KeyError: there is none.
    """
    return {fault.id: fault for fault in CATALOGUE}[id_.upper().replace("B", "b")]
