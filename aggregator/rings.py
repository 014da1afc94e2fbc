"""Slots of one window: close the open one when time moves on, put late readings where they belong.

Vectorised over the series of a batch, like the fold that calls it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aggregator.groups import Groups, Ints, summary
from tributary.aggregate import Records, Summary, clear, merge
from tributary.window import Window


class Step(NamedTuple):
    """What a batch does to one window: per series its open slot before and after."""

    window: Window
    open: Records
    before: Ints
    after: Ints


def step(window: Window, open_cells: Records, newest_before: Ints, newest_after: Ints) -> Step:
    """The step from the newest reading before the batch to the newest one after it."""
    before = newest_before // window.slot_ms
    return Step(window, open_cells, before, newest_after // window.slot_ms)


def close(step: Step, ring: Records, rows: Ints) -> NDArray[np.bool_]:
    """Move the open slots that time has left into the ring, and empty what lies between.

    Returns by series whether its ring changed.
    """
    moved = step.after > step.before
    if not moved.any():
        return moved
    slots = step.window.slots
    before, after = step.before[moved, None], step.after[moved, None]
    cell = np.arange(slots)[None, :]
    held = after - 1 - (after - 1 - cell) % slots  # the slot each cell stands for from now on
    part = ring[rows[moved]]
    between = part[held > before]
    clear(between)
    part[held > before] = between
    series, column = np.nonzero(held == before)
    part[series, column] = step.open[moved][series]
    ring[rows[moved]] = part
    left = step.open[moved]
    clear(left)
    step.open[moved] = left
    return moved & (step.before >= 0)


def fill(
    step: Step, ring: Records, rows: Ints, groups: Groups
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Merge readings into the open slot, or if they are late into the closed one they belong to.

    Returns by reading whether its slot is no longer kept, and by series whether its ring changed.
    """
    slot = groups.times_ms // step.window.slot_ms
    first = np.empty(len(slot), np.bool_)
    first[0] = True
    np.not_equal(slot[1:], slot[:-1], out=first[1:])
    first[groups.starts] = True
    starts = np.flatnonzero(first)
    counts = np.diff(starts, append=len(slot))
    series, slot = groups.series[starts], slot[starts]
    merged = summary(groups.values, starts, counts)
    is_open = slot == step.after[series]
    cells = step.open[series[is_open]]
    merge(cells, Summary(*(column[is_open] for column in merged)))
    step.open[series[is_open]] = cells
    changed = np.zeros(len(rows), np.bool_)
    if is_open.all():
        return np.zeros(len(groups.values), np.bool_), changed
    kept = ~is_open & (slot >= step.after[series] - step.window.slots)
    at = rows[series[kept]], slot[kept] % step.window.slots
    cells = ring[at]
    merge(cells, Summary(*(column[kept] for column in merged)))
    ring[at] = cells
    changed[series[kept]] = True
    return np.repeat(~is_open & ~kept, counts), changed
