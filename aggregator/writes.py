"""What a fold writes of the series of a partition: the bytes of their rows that change. Pure.

A reading that is newer than all others of its series and closes no slot is one cell of the
newest readings; the base of its row follows when a slot closes, or with the last cell. Anything
else writes the base, and of the newest readings what has moved. Counters and quantiles are written with the
base.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from aggregator.addresses import Addresses
from aggregator.fold import Folded
from aggregator.table import Table
from tributary.model.aggregate import take
from tributary.model.groups import Ints
from tributary.model.rows import Address
from tributary.store import keys


class Writes(NamedTuple):
    """The arguments of `scripts.commit` with the same names."""

    rows: list[str | bytes]
    chunks: list[tuple[str, int, bytes]]
    beyond: list[str | bytes]
    within: list[str]
    moved: list[str]
    counters: list[str | bytes]
    quantiles: list[str | bytes]


NO_WRITES = Writes([], [], [], [], [], [], [])


def of(table: Table, folded: Folded, addresses: Addresses) -> Writes:
    """What to write of the rows of `folded`, all of one partition; new ones are given addresses."""
    rows, shape = folded.rows, table.shape

    def name(row: int) -> str:
        return keys.series(*table.series[row])

    is_new = table.state_rows[rows] < 0
    is_old = table.is_format_2[rows]
    of_cells, cells = _cells(table, folded, is_old)
    given = _give_addresses(table, rows, rows[np.unique(of_cells)], addresses)
    placed = table.state_rows[rows], table.ring_rows[rows]
    is_next = folded.is_newer & ~is_new
    is_due = table.counters.due(rows) | table.quantiles.due(rows)
    is_cell = (
        is_next & ~is_due & folded.is_open & (table.pending[rows] + folded.counts < shape.cells)
    )
    table.pending[rows] = np.where(is_cell, table.pending[rows] + folded.counts, 0)
    counts = np.where(is_next, np.minimum(folded.counts, shape.cells), shape.cells)
    state = take(table.state, rows)
    new_state, new_rings = addresses.new_chunks()
    bases = shape.bases(placed[0][~is_cell], state[~is_cell])
    states = [*new_state, *shape.newest(placed[0], state, counts), *bases]
    rings = new_rings
    if len(cells):
        packed = table.ring_cells[rows[of_cells], cells]
        rings = [*new_rings, *shape.closed(placed[1][of_cells], cells, packed)]
    heads = keys.state_chunks(addresses.partition), keys.ring_chunks(addresses.partition)
    table.is_format_2[rows] = False
    return Writes(
        [part for row, address in given for part in (name(row), address.packed())],
        [(f"{head}{r.chunk}", r.offset, r.data)
         for head, runs in zip(heads, (states, rings), strict=True) for r in runs],
        *_beyond(table, rows, name),
        [name(row) for row in rows[is_old].tolist()],
        *(
            [part for row, packed in beside.packed(rows[~is_cell]) for part in (name(row), packed)]
            for beside in (table.counters, table.quantiles)
        ),
    )  # fmt: skip


def _cells(table: Table, folded: Folded, is_old: np.ndarray) -> tuple[Ints, Ints]:
    """The cells of rings to write; of a series that is moved, all with readings."""
    series, cells = folded.cells
    if not is_old.any():
        return series, cells
    kept = ~is_old[series]
    held = table.ring_cells[folded.rows]["count"] > 0
    moved, of_moved = np.nonzero(held & is_old[:, None])
    return np.concatenate([series[kept], moved]), np.concatenate([cells[kept], of_moved])


def _give_addresses(
    table: Table, rows: Ints, ringed: Ints, addresses: Addresses
) -> list[tuple[int, Address]]:
    """Give rows to those that have none, and rings to `ringed`; what has changed, by row."""
    given: dict[int, Address] = {}
    for row in rows[table.state_rows[rows] < 0].tolist():
        given[row] = addresses.take()
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
