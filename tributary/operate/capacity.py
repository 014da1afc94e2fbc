"""How many cores, and how much memory and disk, a fleet needs: `tributary doctor --plan`.

Three rates have an upper limit per process, because what arrives meanwhile is done at once:
flushes (an event loop to Redis), frames (one per partition and flush) and commits (one per
partition and turn of an aggregator). So a reading costs less the more there are.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import lru_cache
from typing import NamedTuple

import msgspec
from redis.crc import REDIS_CLUSTER_HASH_SLOTS as _SLOTS
from redis.crc import key_slot

from tributary.model.window import parse_duration_ms
from tributary.operate.capacity_costs import COSTS, Costs
from tributary.operate.capacity_load import Load
from tributary.settings import Settings
from tributary.store import keys

UTILISATION = 0.7  # of a core, at which another process is planned
_DAY_S, _DAY_MS = 86_400, 86_400_000
_REWRITE = 2.0  # the append-only file is rewritten when it has doubled
_MICRO = 1e-6


class Processes(NamedTuple):
    """How many there are; `primaries` of Redis."""

    ingest: int = 1
    aggregators: int = 1
    primaries: int = 1


class Flows(msgspec.Struct, frozen=True, kw_only=True):
    """What happens per second in these processes; `wakes`: a flush reaches several primaries."""

    ingest: int
    aggregators: int
    primaries: int

    requests: float
    readings: float
    values: float
    flushes: float
    wakes: float
    frames: float
    turns: float
    commits: float


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """Cores in use by role, and bytes of the append-only file per second."""

    ingest_cores: float
    redis_cores: float
    aggregator_cores: float
    jobs_cores: float
    file_bytes_per_s: float


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The use, the processes of each role at 70 % of a core each, memory and disk in bytes."""

    load: Load
    use: Use
    processes: Processes
    aggregates_bytes: float
    stream_bytes: float
    process_bytes: float  # of ingest and aggregators
    file_max_bytes: float
    history_bytes_per_day: float
    history_max_bytes: float

    @property
    def memory_bytes(self) -> float:
        """Of all primaries."""
        return self.aggregates_bytes + self.stream_bytes

    @property
    def partitions_per_primary(self) -> int:
        """At most, if they are divided as evenly as possible."""
        return math.ceil(self.load.partitions / self.processes.primaries)

    @property
    def partitions_by_slots(self) -> int:
        """At most, if each primary has the same number of slots."""
        return busiest(self.load.partitions, self.processes.primaries)

    @property
    def largest_share(self) -> float:
        """What a primary has of everything, at most, if partitions are divided evenly."""
        return self.partitions_per_primary / self.load.partitions


def flows(load: Load, processes: Processes, costs: Costs = COSTS) -> Flows:
    """What happens per second with these processes."""
    ingest, aggregators, primaries = processes
    readings = load.readings_per_s
    requests = readings / load.batch
    flushes = min(requests, ingest * costs.flushes_per_s)
    frames = flushes * distinct(load.partitions, readings / flushes)
    turns = min(frames, aggregators * costs.turns_per_s)
    owned = max(1.0, load.partitions / aggregators)
    return Flows(
        **processes._asdict(),
        requests=requests,
        readings=readings,
        values=readings * load.metrics,
        flushes=flushes,
        wakes=flushes * distinct(primaries, frames / flushes),
        frames=frames,
        turns=turns,
        commits=turns * distinct(owned, frames / turns),
    )


def use(load: Load, found: Flows, costs: Costs = COSTS) -> Use:
    """What these rates cost."""
    ingest_us = (
        found.ingest * costs.ingest_idle_us
        + found.requests * costs.ingest_request_us
        + found.values * costs.ingest_value_us
        + found.flushes * costs.ingest_flush_us
    )
    redis_us = (
        found.primaries * costs.redis_idle_us
        + found.wakes * costs.redis_flush_us
        + found.frames * costs.redis_frame_us
        + found.commits * costs.redis_commit_us
        + found.values * costs.redis_value_us
    )
    aggregator_us = (
        found.aggregators * costs.aggregator_idle_us
        + found.turns * costs.aggregator_turn_us
        + found.frames * costs.aggregator_frame_us
        + found.values * costs.aggregator_value_us
    )
    slots_per_s = load.series * min(1 / 60, load.rate)
    jobs_us = slots_per_s * costs.jobs_slot_us + found.values * costs.jobs_value_us
    return Use(
        ingest_cores=ingest_us * _MICRO,
        redis_cores=redis_us * _MICRO,
        aggregator_cores=aggregator_us * _MICRO,
        jobs_cores=jobs_us * _MICRO,
        file_bytes_per_s=found.frames * costs.file_frame_bytes
        + found.commits * costs.file_commit_bytes
        + found.readings * costs.file_reading_bytes
        + found.values * costs.file_value_bytes,
    )


def plan(load: Load, settings: Settings, costs: Costs = COSTS) -> Plan:
    """The processes, memory and disk that a fleet needs."""
    processes = Processes()
    while True:  # more processes do less at once
        used = use(load, flows(load, processes, costs), costs)
        needed = (
            _processes(used.ingest_cores),
            _processes(used.aggregator_cores),
            _primaries(used.redis_cores, load.partitions),
        )
        more = Processes(*map(max, processes, needed))
        if more == processes:
            break
        processes = more
    series_bytes = costs.latest_series_bytes if load.keep == "latest" else costs.series_bytes
    aggregates_bytes = load.series * series_bytes + load.devices * costs.device_bytes
    found = flows(load, processes, costs)
    further = found.readings / found.frames - 1
    entry_bytes = (
        costs.entry_bytes
        + further * costs.entry_reading_bytes
        + (1 + further) * (load.metrics - 1) * costs.entry_value_bytes
    )
    per_day = kept = 0.0
    if settings.history == "off" or load.keep != "all":
        used = msgspec.structs.replace(used, jobs_cores=0.0)
    else:
        per_day, kept = _history_slots(load, settings)
    return Plan(
        load=load,
        use=used,
        processes=processes,
        aggregates_bytes=aggregates_bytes,
        stream_bytes=load.partitions * settings.stream_max_entries * entry_bytes,
        process_bytes=_process_bytes(load, processes, settings, costs),
        file_max_bytes=_REWRITE * aggregates_bytes,
        history_bytes_per_day=per_day * costs.history_slot_bytes,
        history_max_bytes=kept * costs.history_slot_bytes,
    )


def warnings(found: Plan, settings: Settings) -> list[str]:
    """Limits that the fleet would exceed, each with its remedy."""
    load, most = found.load, max(found.processes.aggregators, found.processes.primaries)
    cached = math.ceil(load.series / found.processes.aggregators)
    by_slots = found.use.redis_cores * found.partitions_by_slots / load.partitions
    partitions = 2 ** math.ceil(math.log2(4 * most))
    checks = {
        f"{load.series:,} series exceed series_max={settings.series_max:,}; raise it": (
            0 < settings.series_max < load.series
        ),
        f"{load.devices:,} devices exceed devices_max={settings.devices_max:,}; raise it": (
            0 < settings.devices_max < load.devices
        ),
        f"{cached:,} series per aggregator exceed series_cached_max={settings.series_cached_max:,}; "
        "raise it, or start more aggregators: others are loaded again for each reading": (
            cached > settings.series_cached_max
        ),
        f"{load.partitions} partitions are fewer than {most} aggregators or primaries; plan with "
        f"partitions={partitions}, which is fixed once data exists": load.partitions < most,
        f"with equal shares of the slots, one primary has {found.partitions_by_slots} partitions "
        f"and needs {by_slots:.0%} of a core; move slots, so that each has at most "
        f"{found.partitions_per_primary} partitions": (
            load.partitions >= most and by_slots > UTILISATION
        ),
        "one process of jobs does not keep up with the history; set TRIBUTARY_HISTORY=off": (
            settings.history != "off" and found.use.jobs_cores > 1
        ),
    }
    return [text for text, is_exceeded in checks.items() if is_exceeded]


def busiest(partitions: int, primaries: int) -> int:
    """How many partitions the busiest primary has if each has the same number of slots.

    The slots of a Redis Cluster are those of its specification: CRC-16 of the hash tag.
    """
    if primaries >= _SLOTS:
        return 1
    owners = (slot * primaries // _SLOTS for slot in _slots(partitions))
    return max(Counter(owners).values())


@lru_cache
def _slots(partitions: int) -> list[int]:
    return [key_slot(keys.readings(partition).encode()) for partition in range(partitions)]


def distinct(boxes: float, balls: float) -> float:
    """The expected number of boxes that are hit, each ball hitting one at random."""
    return float(boxes * (1 - (1 - 1 / boxes) ** balls))


def _process_bytes(load: Load, processes: Processes, settings: Settings, costs: Costs) -> float:
    kept = min(load.series, processes.aggregators * settings.series_cached_max)
    return (
        processes.ingest * costs.ingest_process_bytes
        + processes.aggregators * costs.aggregator_process_bytes
        + kept * costs.aggregator_series_bytes
    )


def _processes(cores: float) -> int:
    return max(1, math.ceil(cores / UTILISATION))


def _primaries(cores: float, partitions: int) -> int:
    """As few as leave each below the limit with its partitions; with too few of these, cores alone."""
    primaries = _processes(cores)
    while (
        primaries < partitions
        and cores * math.ceil(partitions / primaries) / partitions > UTILISATION
    ):
        primaries += 1
    return primaries


def _history_slots(load: Load, settings: Settings) -> tuple[float, float]:
    """Slots written per day, and kept in the end; days, which are kept permanently, for a year."""
    per_day = kept = 0.0
    for slots, keep in (
        (1_440, settings.history_keep_minutes),
        (24, settings.history_keep_hours),
        (1, settings.history_keep_days),
    ):
        written = load.series * min(slots, load.rate * _DAY_S)
        per_day += written
        kept += written * (parse_duration_ms(keep) / _DAY_MS if keep else 365)
    return per_day, kept
