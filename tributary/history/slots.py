"""Summaries of readings by series and slot: what the tables of the history contain. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tributary.model.aggregate import CELL, Records, Summary, merge
from tributary.model.groups import Floats, Ints, lengths, summary

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000


class Slots(NamedTuple):
    """Summaries by series and slot: each pair once, sorted by series and slot."""

    series: list[tuple[str, str]]  # device and metric, sorted
    index: Ints  # type: ignore[assignment]  # of the series of each row; hides tuple.index
    slot_ms: Ints  # start of the slot, UTC ms
    cells: Records  # `aggregate.CELL`, none empty


def no_slots() -> Slots:
    """No summaries."""
    return Slots([], np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, CELL))


def summarize(
    series: list[tuple[str, str]], repeats: Ints, times_ms: Ints, values: Floats, slot_ms: int
) -> Slots:
    """Summaries of readings in slots of `slot_ms`.

    `series[i]` (device, metric) occurs `repeats[i]` times in a row in `times_ms` (UTC) and
    `values` (finite), as in `aggregator.decode.Columns`; a series may occur more than once.
    """
    if not len(values):
        return no_slots()
    names, number = _numbered(series)
    index = np.repeat(number, repeats)
    slots = times_ms // slot_ms * slot_ms
    order = np.lexsort((slots, index))
    index, slots = index[order], slots[order]
    starts = _starts(index, slots)
    found = summary(values[order], starts, lengths(starts, len(index)))
    return Slots(names, index[starts], slots[starts], to_cells(found))


def widen(slots: Slots, slot_ms: int) -> Slots:
    """The summaries of slots of `slot_ms`, a multiple of the present ones, by `merge`."""
    wide = slots.slot_ms // slot_ms * slot_ms
    starts = _starts(slots.index, wide)
    cells = merge_groups(slots.cells, starts)
    return Slots(slots.series, slots.index[starts], wide[starts], cells)


def merge_groups(cells: Records, starts: Ints) -> Records:
    """Merge the summaries from each start up to the next one; neighbours first.

    The merges of a group form a balanced tree, so rounding errors grow with its depth only.
    """
    group = np.zeros(len(cells), np.int64)
    group[starts[1:]] = 1
    group = np.cumsum(group)
    while len(cells) > len(starts):
        first = np.flatnonzero(np.diff(group, prepend=-1))
        rank = np.arange(len(group)) - first[group]
        left = np.flatnonzero(rank % 2 == 0)
        has_right = (rank % 2 == 1)[np.minimum(left + 1, len(rank) - 1)] & (left + 1 < len(rank))
        merged = cells[left]
        pairs = merged[has_right]
        merge(pairs, to_summary(cells[left[has_right] + 1]))
        merged[has_right] = pairs
        cells, group = merged, group[left]
    return cells


def to_cells(found: Summary) -> Records:
    """Summaries as records."""
    cells = np.empty(len(found.counts), CELL)
    for name, column in zip(("count", "mean", "m2", "min", "max"), found, strict=True):
        cells[name] = column
    return cells


def to_summary(cells: Records) -> Summary:
    """Records as summaries, to merge them into others."""
    count = cells["count"].astype(np.int64)
    return Summary(count, cells["mean"], cells["m2"], cells["min"], cells["max"])


def _numbered(series: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], Ints]:
    """The distinct series, sorted, and the number of each given one among them."""
    names = sorted(set(series))
    numbers = {name: number for number, name in enumerate(names)}
    return names, np.fromiter(map(numbers.__getitem__, series), np.int64, len(series))


def _starts(index: Ints, slot_ms: Ints) -> Ints:
    """Where each pair begins in sorted columns."""
    is_first = np.ones(len(index), np.bool_)
    is_first[1:] = (index[1:] != index[:-1]) | (slot_ms[1:] != slot_ms[:-1])
    return np.flatnonzero(is_first)
