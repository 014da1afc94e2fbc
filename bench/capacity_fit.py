"""Constants of the capacity model, fitted to what several loads used."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench import openloop
from tributary.operate import capacity
from tributary.operate.capacity import Load, Processes, Use
from tributary.operate.capacity_costs import COSTS, Costs

_TURNS_PER_S = (50, 100, 200, 400, 800, 1_600)

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
    """A load at the rate that it reached, and what it used."""

    load: Load
    use: Use
    frames_per_s: float


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
    """Lines for `Costs`; `flushes_per_s` remains as it is."""
    costs = min((_costs(runs, turns_per_s) for turns_per_s in _TURNS_PER_S), key=lambda c: c[0])[1]
    return "\n".join(
        f"    {name}: float = {value:.1f}  # was {getattr(COSTS, name):g}"
        for name, value in costs.items()
    )


def _costs(runs: list[Run], turns_per_s: float) -> tuple[float, dict[str, float]]:
    """The sum of the squared relative errors with this highest rate of turns, and the constants."""
    assumed = msgspec.structs.replace(arriving(COSTS), turns_per_s=turns_per_s)
    flows = [capacity.flows(run.load, Processes(), assumed) for run in runs]
    error, found = 0.0, {"turns_per_s": turns_per_s}
    for figure, (terms, scale) in _TERMS.items():
        features = np.array([[getattr(f, flow) for flow in terms.values()] for f in flows])
        used = np.array([getattr(run.use, figure) for run in runs]) * scale
        values = fitted(features, used)
        error += float(np.square(features @ values / used - 1).sum())
        found.update(zip(terms, values.tolist(), strict=True))
    return error, found


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
