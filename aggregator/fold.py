"""The fold: a batch of readings into the aggregates of their series. Pure, vectorised, no Redis.

Fast code uses columns instead of Python objects: a batch is three arrays (row of the series,
time, value), sorted by row and time, and reduced group by group with `reduceat`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aggregator import rings
from aggregator.overflow import Horizon
from tributary.model.aggregate import NO_TIME, Layout, Records, Summary, merge, put, take
from tributary.model.groups import Groups, Ints, Readings, grouped, summary

_NO_READINGS: Ints = np.empty(0, np.int64)


class Folded(NamedTuple):
    """What a fold changed."""

    rows: Ints  # the rows of the table, each once
    late: Ints  # positions in the batch of readings that no window keeps
    counts: Ints  # by row: readings in the batch
    is_newer: NDArray[np.bool_]  # by row: whether their times increase, from the newest before
    is_open: NDArray[np.bool_]  # by row: whether every slot that was open is open
    cells: tuple[Ints, Ints]  # of rings that changed: positions in `rows`, numbers of cells

    def ordered(self, order: Ints) -> Folded:
        """Of some of the rows, by position and in this order; `late` stays as it is."""
        series, numbers = self.cells
        if len(series):
            place = np.full(len(self.rows), -1)
            place[order] = np.arange(len(order))
            series = place[series]
            series, numbers = series[series >= 0], numbers[series >= 0]
        flags = self.is_newer[order], self.is_open[order]
        return Folded(self.rows[order], self.late, self.counts[order], *flags, (series, numbers))


def fold(
    layout: Layout,
    state: Records,
    ring_state: Records,
    readings: Readings,
    horizon: Horizon | None = None,
) -> Folded:
    """Fold readings into `state` and `ring_state`, in place.

    Args:
        layout: the record types.
        state: one record per row of the table.
        ring_state: closed slots, one record per row of the table.
        readings: at least one, in order of arrival.
        horizon: the time, and slots kept beyond the rings, updated in place; None: no such slots.
    """
    # Stable: readings of equal time stay in order of arrival.
    order = np.lexsort((readings.times_ms, readings.rows))
    touched, groups = grouped(readings, order)
    part = take(state, touched)
    newest_before = part["times_ms"][:, -1].copy()
    whole = summary(groups.values, groups.starts, groups.counts)
    merge(part, whole)
    _remember(part, groups)
    late, cells, is_open = _NO_READINGS, rings.NO_CELLS, np.ones(len(touched), np.bool_)
    if layout.windows:
        moves = rings.Moves.of(layout, part, newest_before, groups, horizon)
        changed = moves.close(ring_state, touched)
        one_slot: NDArray[np.bool_] = np.logical_and.reduce(moves.in_open_slot, axis=0)
        _merge_open(part, one_slot, whole)
        for number in (~one_slot).nonzero()[0].tolist():
            dropped, filled = moves.fill(number, ring_state, touched, groups)
            changed |= filled
            if number == len(layout.windows) - 1 and dropped.any():
                may_be_late = dropped & _has_windows(horizon, touched)[groups.series]
                late = moves.late(newest_before, groups, order, may_be_late)
        moves.prune(touched, changed)
        is_open, cells = (moves.before == moves.after).all(axis=1), moves.changed.distinct()
    put(state, touched, part)
    return Folded(touched, late, groups.counts, _increases(newest_before, groups), is_open, cells)


def _has_windows(horizon: Horizon | None, touched: Ints) -> NDArray[np.bool_]:
    """By series whether a reading of it may be late."""
    if horizon is None or horizon.is_short is None:
        return np.ones(len(touched), np.bool_)
    found: NDArray[np.bool_] = ~horizon.is_short[touched]
    return found


def _increases(newest_before: Ints, groups: Groups) -> NDArray[np.bool_]:
    """By series whether its readings are newer than all before, and none is as old as another."""
    before = np.empty_like(groups.times_ms)
    before[1:] = groups.times_ms[:-1]
    before[groups.starts] = newest_before
    found: NDArray[np.bool_] = np.logical_and.reduceat(groups.times_ms > before, groups.starts)
    return found


def _merge_open(part: Records, windows: NDArray[np.bool_], whole: Summary) -> None:
    """Merge each group into the open slots of the windows that contain all of it, the common case."""
    more = whole.at((slice(None), None))
    if windows.all():
        merge(part["open"], more)  # in place: copying takes longer than merging
        return
    cells = part["open"][:, windows]
    merge(cells, more)
    part["open"][:, windows] = cells


def _remember(part: Records, groups: Groups) -> None:
    """Keep the newest readings of each series, by event time, then by arrival."""
    is_next = groups.times_ms[groups.starts] >= part["times_ms"][:, -1]
    is_next &= groups.counts == 1
    for name, column in (("times_ms", groups.times_ms), ("values", groups.values)):
        # One reading that is the newest, the common case.
        held, more = part[name][is_next], column[groups.starts[is_next]]
        part[name][is_next] = np.concatenate([held[:, 1:], more[:, None]], axis=1)
    if not is_next.all():
        _merge_newest(part, np.flatnonzero(~is_next), groups)


def _merge_newest(part: Records, numbers: Ints, groups: Groups) -> None:
    """The same for some of the series, whatever their readings are."""
    kept = part["times_ms"].shape[1]
    ends = groups.starts + groups.counts
    rank = ends[groups.series] - 1 - np.arange(len(groups.values))  # 0 is the newest
    place = np.full(len(part), -1)
    place[numbers] = np.arange(len(numbers))
    newest = (rank < kept) & (place[groups.series] >= 0)
    series, column = place[groups.series[newest]], 2 * kept - 1 - rank[newest]
    # Stored and new readings side by side; unused places sort to the front.
    times_ms = np.full((len(numbers), 2 * kept), NO_TIME)
    values = np.zeros((len(numbers), 2 * kept))
    times_ms[:, :kept], values[:, :kept] = part["times_ms"][numbers], part["values"][numbers]
    times_ms[series, column] = groups.times_ms[newest]
    values[series, column] = groups.values[newest]
    order = np.argsort(times_ms, axis=1, kind="stable")[:, kept:]
    part["times_ms"][numbers] = np.take_along_axis(times_ms, order, axis=1)
    part["values"][numbers] = np.take_along_axis(values, order, axis=1)
