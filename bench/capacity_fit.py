"""Constants of the capacity model, fitted to what several loads used."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench import openloop
from tributary.operate import capacity
from tributary.operate.capacity import Flows, Processes, Use
from tributary.operate.capacity_costs import COSTS, Costs
from tributary.operate.capacity_load import Load

# Figure of a use → for each constant the flow that it is multiplied with, and the unit.
_TERMS: dict[str, tuple[dict[str, str], float]] = {
    "ingest_cores": (
        {
            "ingest_idle_us": "ingest",
            "ingest_request_us": "requests",
            "ingest_value_us": "values",
            "ingest_flush_us": "flushes",
        },
        1e6,
    ),
    "redis_cores": (
        {
            "redis_idle_us": "primaries",
            "redis_flush_us": "wakes",
            "redis_frame_us": "frames",
            "redis_commit_us": "commits",
            "redis_value_us": "values",
        },
        1e6,
    ),
    "aggregator_cores": (
        {
            "aggregator_idle_us": "aggregators",
            "aggregator_turn_us": "turns",
            "aggregator_frame_us": "frames",
            "aggregator_value_us": "values",
        },
        1e6,
    ),
    "file_bytes_per_s": (
        {
            "file_frame_bytes": "frames",
            "file_commit_bytes": "commits",
            "file_reading_bytes": "readings",
            "file_value_bytes": "values",
        },
        1,
    ),
}


class Run(NamedTuple):
    """A load at the rate that it reached, what it used, and what Redis has counted."""

    load: Load
    use: Use
    frames_per_s: float
    commits_per_s: float


def loads(partitions: int) -> list[Load]:
    """Loads that differ in rate, metrics and readings per request."""
    return [
        Load(devices=devices, rate=1, metrics=metrics, batch=batch, partitions=partitions)
        for devices, metrics, batch in (
            (300, 1, 1), (300, 3, 1), (2_000, 1, 1), (2_000, 3, 1), (6_000, 1, 1), (6_000, 3, 1),
            (4_800, 1, 16), (4_800, 3, 16), (16_000, 1, 16), (9_600, 3, 16),
        )
    ]  # fmt: skip


def constants(runs: list[Run]) -> str:
    """Lines for `Costs`; of the highest rates of a process, only what was reached is known."""
    flows = [observed(run) for run in runs]
    lines = [
        f"    # turns_per_s: {max(f.turns for f in flows):.0f} were reached",
        f"    # flushes_per_s: {max(f.flushes for f in flows):.0f} were reached",
    ]
    for figure, (terms, scale) in _TERMS.items():
        features = np.array([[getattr(f, flow) for flow in terms.values()] for f in flows])
        used = np.array([getattr(run.use, figure) for run in runs]) * scale
        for name, value in zip(terms, fitted(features, used), strict=True):
            lines.append(f"    {name}: float = {value:.1f}  # was {getattr(COSTS, name):g}")
    return "\n".join(lines)


def observed(run: Run) -> Flows:
    """The flows of a run, from the frames and commits that Redis has counted.

    Programs that run beside it change how much is done at once, but not what each costs.
    """
    load = run.load
    flows = capacity.flows(load, Processes())
    flushes = _together(flows.readings, run.frames_per_s, load.partitions)
    turns = _together(run.frames_per_s, run.commits_per_s, load.partitions)
    return msgspec.structs.replace(
        flows,
        flushes=flushes, wakes=flushes, frames=run.frames_per_s,
        turns=turns, commits=run.commits_per_s,
    )  # fmt: skip


def _together(things: float, groups: float, partitions: int) -> float:
    """How often things were done together, if that made this number of groups by partition."""
    low, high = 0.0, things
    for _ in range(60):
        middle = (low + high) / 2
        made = middle * capacity.distinct(partitions, things / middle)
        low, high = (middle, high) if made < groups else (low, middle)
    return high


def arriving(costs: Costs) -> Costs:
    """The constants for requests of the load generator, which come in a burst per millisecond."""
    most = min(costs.flushes_per_s, 1 / openloop.TICK_S)
    return msgspec.structs.replace(costs, flushes_per_s=most)


def fitted(features: NDArray[Any], used: NDArray[Any]) -> NDArray[Any]:
    """Least squares of the relative errors; no constant is below zero.

    `features` has a row per run and a column per constant, `used` a figure per run.
    """
    relative, ones = features / used[:, None], np.ones(len(used))
    kept = list(range(features.shape[1]))
    while True:
        found = np.zeros(features.shape[1])
        found[kept] = np.linalg.lstsq(relative[:, kept], ones, rcond=None)[0]
        if not kept or found.min() >= 0:
            return found
        kept.remove(int(found.argmin()))
