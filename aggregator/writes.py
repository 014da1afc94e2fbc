"""What a fold writes of the series of a partition: the bytes of their rows that change. Pure.

A reading that is newer than all others of its series and closes no slot is one cell of the
newest readings; the base of its row follows when a slot closes, or with the last cell. Anything
else writes the base, and of the newest readings what has moved. Counters and quantiles are written with the
base.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aggregator.addresses import Addresses
from aggregator.fold import Folded
from aggregator.table import Table
from tributary.model.address import NOWHERE, SHORT, Address
from tributary.model.aggregate import Records, take
from tributary.model.groups import Ints
from tributary.model.rows import Run, Shape
from tributary.store import keys

Chunk = tuple[str, int, bytes]  # its key, an offset, and what is written there


class Writes(NamedTuple):
    """The arguments of `scripts.commit` with the same names; and which metrics got windows."""

    rows: list[str | bytes]
    chunks: list[Chunk]
    beyond: list[str | bytes]
    within: list[str]
    moved: list[str]
    counters: list[str | bytes]
    quantiles: list[str | bytes]
    freed: tuple[list[bytes], list[bytes], list[bytes]] = ([], [], [])
    undeclared: Sequence[str] = ()  # series whose counters and quantiles are dropped
    began: Collection[str] = ()  # metrics of series whose short row was given up


NO_WRITES = Writes([], [], [], [], [], [], [])


def of(table: Table, folded: Folded, addresses: Addresses) -> Writes:
    """What to write of the rows of `folded`, all of one partition; new ones are given addresses."""
    rows, shape = folded.rows, table.shape

    def name(row: int) -> str:
        return keys.series(*table.series[row])

    left = _leave(table, rows, addresses)
    is_new, is_short = table.state_rows[rows] < 0, table.is_short[rows]
    is_old = table.is_format_2[rows]
    of_cells, cells = _cells(table, folded, is_old, is_short)
    given = _give_addresses(table, rows, rows[np.unique(of_cells)], addresses)
    is_next = folded.is_newer & ~is_new
    is_due = table.counters.due(rows) | table.quantiles.due(rows)
    is_cell = is_next & ~is_due & (folded.is_open | is_short)
    is_cell &= table.pending[rows] + folded.counts < shape.cells
    table.pending[rows] = np.where(is_cell, table.pending[rows] + folded.counts, 0)
    counts = np.where(is_next, np.minimum(folded.counts, shape.cells), shape.cells)
    changed = _Changed(table.state_rows[rows], take(table.state, rows), counts, is_cell)
    states, rings, shorts = addresses.new_chunks()
    if is_short.any():
        shorts = [*shorts, *changed.at(is_short).runs(shape.short)]
        changed = changed.at(~is_short)
    states = [*states, *changed.runs(shape)]
    if len(cells):
        packed = table.ring_cells[rows[of_cells], cells]
        rings = [*rings, *shape.closed(table.ring_rows[rows][of_cells], cells, packed)]
    table.is_format_2[rows] = False
    beyond, within = _beyond(table, rows, name)
    return Writes(
        [part for row, address in given for part in (name(row), address.packed())],
        _chunks(addresses.partition, [*left.states, *states], [*left.rings, *rings],
                [*left.shorts, *shorts]),
        beyond,
        [*within, *map(name, left.narrowed)],
        [name(row) for row in rows[is_old].tolist()],
        _alternating(table.counters.packed(rows[~is_cell]), name),
        _alternating(table.quantiles.packed(rows[~is_cell]), name),
        left.freed,
        [name(row) for row in left.narrowed],
        {table.series[row][1] for row in left.widened},
    )  # fmt: skip


def _alternating(
    packed: Iterable[tuple[int, bytes]], name: Callable[[int], str]
) -> list[str | bytes]:
    """Series and what is packed of them, alternating; `packed`: by row of the table."""
    return [part for row, found in packed for part in (name(row), found)]


def _chunks(partition: int, states: list[Run], rings: list[Run], shorts: list[Run]) -> list[Chunk]:
    heads = keys.state_chunks(partition), keys.ring_chunks(partition), keys.short_chunks(partition)
    return [
        (f"{head}{run.chunk}", run.offset, run.data)
        for head, runs in zip(heads, (states, rings, shorts), strict=True)
        for run in runs
    ]


class _Changed(NamedTuple):
    """Rows of state of one kind: their numbers, what they become, and how they change."""

    places: Ints
    state: Records
    counts: Ints  # of the newest readings to write
    is_cell: NDArray[np.bool_]  # whether the base stays as it is

    def at(self, which: NDArray[np.bool_]) -> _Changed:
        places, state, counts, is_cell = self
        return _Changed(places[which], state[which], counts[which], is_cell[which])

    def runs(self, shape: Shape) -> list[Run]:
        bases = shape.bases(self.places[~self.is_cell], self.state[~self.is_cell])
        return [*shape.newest(self.places, self.state, self.counts), *bases]


class _Left(NamedTuple):
    """Rows that series give up: zeros to write, and rows of the table by what they become."""

    states: list[Run]
    rings: list[Run]
    shorts: list[Run]
    freed: tuple[list[bytes], list[bytes], list[bytes]]
    narrowed: list[int]  # they get short rows
    widened: list[int]  # they had short rows


_NOTHING_LEFT = _Left([], [], [], ([], [], []), [], [])


def _leave(table: Table, rows: Ints, addresses: Addresses) -> _Left:
    """Give up rows of another kind than their metric needs now: `keep` has changed."""
    has_short = table.ring_rows[rows] == SHORT
    is_left = (table.state_rows[rows] >= 0) & (has_short != table.is_short[rows])
    for row in rows[table.is_short[rows]].tolist():
        table.overflow.drop(row)
    if not is_left.any():
        return _NOTHING_LEFT
    shape, narrowed, widened = table.shape, rows[is_left & ~has_short], rows[is_left & has_short]
    wide, short = table.state_rows[narrowed], table.state_rows[widened]
    rings = table.ring_rows[narrowed]
    left = _Left(
        shape.cleared(wide),
        shape.cleared_rings(rings[rings >= 0]),
        shape.short.cleared(short),
        ([Address(*both).packed() for both in zip(wide.tolist(), rings.tolist(), strict=True)],
         [], [b"%d" % row for row in short.tolist()]),
        narrowed.tolist(),
        widened.tolist(),
    )  # fmt: skip
    addresses.note_freed()
    table.state_rows[rows[is_left]], table.ring_rows[rows[is_left]] = NOWHERE
    return left


def _cells(
    table: Table, folded: Folded, is_old: NDArray[np.bool_], is_short: NDArray[np.bool_]
) -> tuple[Ints, Ints]:
    """The cells of rings to write, if there are to be any; of a series that is moved, all."""
    series, cells = folded.cells
    if not (is_old.any() or is_short.any()):
        return series, cells
    kept = ~(is_old | is_short)[series]
    held = table.ring_cells[folded.rows]["count"] > 0
    moved, of_moved = np.nonzero(held & (is_old & ~is_short)[:, None])
    return np.concatenate([series[kept], moved]), np.concatenate([cells[kept], of_moved])


def _give_addresses(
    table: Table, rows: Ints, ringed: Ints, addresses: Addresses
) -> list[tuple[int, Address]]:
    """Give rows to those that have none, and rings to `ringed`; what has changed, by row."""
    given: dict[int, Address] = {}
    for row in rows[table.state_rows[rows] < 0].tolist():
        given[row] = addresses.take_short() if table.is_short[row] else addresses.take()
        table.state_rows[row], table.ring_rows[row] = given[row]
    for row in ringed[table.ring_rows[ringed] < 0].tolist():
        table.ring_rows[row] = addresses.take_ring()
        given[row] = Address(int(table.state_rows[row]), int(table.ring_rows[row]))
    return list(given.items())


def _beyond(
    table: Table, rows: Ints, name: Callable[[int], str]
) -> tuple[list[str | bytes], list[str]]:
    """The cells beyond the rings that have changed, and the series that have none any more."""
    beyond: list[str | bytes] = []
    within: list[str] = []
    for row in table.overflow.take_changed(rows):
        packed = table.overflow.packed(row)
        if packed:
            beyond += (name(row), packed)
        else:
            within.append(name(row))
    return beyond, within
