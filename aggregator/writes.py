"""What a fold writes of the series of some partitions: the bytes of their rows that change. Pure.

A reading that is newer than all others of its series and closes no slot is one cell of the
newest readings; the base of its row follows when a slot closes, or with the last cell. Anything
else writes the base, and of the newest readings what has moved. Counters and quantiles are written with the
base.

All partitions are computed together, because a call of numpy takes about as long for one row as
for a hundred; then what changes is dealt out to their commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aggregator.addresses import Addresses
from aggregator.fold import Folded
from aggregator.table import Table
from tributary.model.address import NOWHERE, SHORT, Address
from tributary.model.aggregate import Records, take
from tributary.model.groups import Ints
from tributary.model.rows import CHUNKS_MAX, Run, Shape
from tributary.store import keys

Chunk = tuple[str, int, bytes]  # its key, an offset, and what is written there
_STATE, _RINGS, _SHORT = range(3)  # kinds of chunks


class Writes(NamedTuple):
    """The arguments of `scripts.commit` with the same names; and which metrics got windows."""

    rows: list[str | bytes]
    chunks: list[Chunk]
    beyond: list[str | bytes]
    within: list[str]
    moved: list[str]
    counters: list[str | bytes]
    quantiles: list[str | bytes]
    freed: tuple[list[bytes], list[bytes], list[bytes]]
    undeclared: list[str]  # series whose counters and quantiles are dropped
    began: set[str]  # metrics of series whose short row was given up

    @classmethod
    def nothing(cls) -> Writes:
        """Nothing is written yet."""
        return cls([], [], [], [], [], [], [], ([], [], []), [], set())


NO_WRITES = Writes.nothing()


class Owned(NamedTuple):
    """The rows of some partitions that a fold has changed."""

    folded: Folded
    partition: Ints  # of each row, by number among `addresses`
    addresses: Sequence[Addresses]

    @classmethod
    def of(cls, table: Table, folded: Folded, addresses: Sequence[Addresses]) -> Owned:
        """Those of the partitions of `addresses`, one partition after the other."""
        partitions = table.partitions(folded.rows)
        mine = [each.partition for each in addresses]
        number = np.full(max(int(partitions.max(initial=0)), *mine) + 1, len(mine))
        number[mine] = np.arange(len(mine))
        found = number[partitions]
        order = found.argsort(kind="stable")
        order = order[: int((found < len(mine)).sum())]
        return cls(folded.ordered(order), found[order], addresses)


def of(table: Table, owned: Owned) -> list[Writes]:
    """What to write of rows, by partition; new ones are given addresses."""
    (rows, _, counts_of, is_newer, is_open, _), partition, addresses = owned
    shape, deal = table.shape, _Deal(table, owned)
    _leave(table, owned, deal)
    is_new, is_short = table.state_rows[rows] < 0, table.is_short[rows]
    is_old = table.is_format_2[rows]
    of_cells, cells = _cells(table, owned.folded, is_old, is_short)
    _give_addresses(table, owned, of_cells, deal)
    is_next = is_newer & ~is_new
    is_due = table.counters.due(rows) | table.quantiles.due(rows)
    is_cell = is_next & ~is_due & (is_open | is_short)
    is_cell &= table.pending[rows] + counts_of < shape.cells
    table.pending[rows] = np.where(is_cell, table.pending[rows] + counts_of, 0)
    counts = np.where(is_next, np.minimum(counts_of, shape.cells), shape.cells)
    for at, each in enumerate(addresses):
        deal.runs(each.new_chunks(), at)
    changed = _Changed(table.state_rows[rows], partition, take(table.state, rows), counts, is_cell)
    shorts, closed = list[Run](), list[Run]()
    if is_short.any():
        shorts = changed.at(is_short).runs(shape.short)
        changed = changed.at(~is_short)
    if len(cells):
        packed = table.ring_cells[rows[of_cells], cells]
        ringed = shape.rings_apart(table.ring_rows[rows][of_cells], partition[of_cells])
        closed = shape.closed(ringed, cells, packed)
    deal.runs((changed.runs(shape), closed, shorts))
    table.is_format_2[rows] = False
    deal.beside(rows[is_old], rows[~is_cell])
    return deal.writes


class _Deal:
    """What each partition writes."""

    def __init__(self, table: Table, owned: Owned) -> None:
        self.writes = [Writes.nothing() for _ in owned.addresses]
        self._table = table
        self._owned = owned
        self._heads = [
            (keys.state_chunks(p), keys.ring_chunks(p), keys.short_chunks(p))
            for p in (each.partition for each in owned.addresses)
        ]

    def name(self, row: int) -> str:
        """The name of the series in a row of the table."""
        return keys.series(*self._table.series[row])

    def runs(self, kinds: Sequence[list[Run]], first: int = 0) -> None:
        """Write into chunks of state, of rings and of short rows; `first`: of the partitions."""
        for kind, runs in enumerate(kinds):
            for chunk, offset, data in runs:
                at, number = divmod(chunk, CHUNKS_MAX)
                key = f"{self._heads[first + at][kind]}{number}"
                self.writes[first + at].chunks.append((key, offset, data))

    def beside(self, moved: Ints, with_base: Ints) -> None:
        """Write what is not in chunks: of rows, of those in format 2, of those with their base."""
        table, rows = self._table, self._owned.folded.rows
        partition: dict[int, Writes] = {}  # by row of the table, if any is looked up

        def of(row: int) -> Writes:
            if not partition:
                numbers = self._owned.partition.tolist()
                writes = [self.writes[number] for number in numbers]
                partition.update(zip(rows.tolist(), writes, strict=True))
            return partition[row]

        for row in moved.tolist():
            of(row).moved.append(self.name(row))
        for row in table.overflow.take_changed(rows):
            if packed := table.overflow.packed(row):
                of(row).beyond.extend((self.name(row), packed))
            else:
                of(row).within.append(self.name(row))
        for row, packed in table.counters.packed(with_base):
            of(row).counters.extend((self.name(row), packed))
        for row, packed in table.quantiles.packed(with_base):
            of(row).quantiles.extend((self.name(row), packed))


class _Changed(NamedTuple):
    """Rows of state of one kind: their numbers, what they become, and how they change."""

    places: Ints
    partition: Ints
    state: Records
    counts: Ints  # of the newest readings to write
    is_cell: NDArray[np.bool_]  # whether the base stays as it is

    def at(self, which: NDArray[np.bool_]) -> _Changed:
        places, partition, state, counts, is_cell = self
        return _Changed(
            places[which], partition[which], state[which], counts[which], is_cell[which]
        )

    def runs(self, shape: Shape) -> list[Run]:
        places, with_base = shape.apart(self.places, self.partition), ~self.is_cell
        written = shape.newest(places, self.state, self.counts)
        if with_base.any():
            written += shape.bases(places[with_base], self.state[with_base])
        return written


def _leave(table: Table, owned: Owned, deal: _Deal) -> None:
    """Give up rows of another kind than their metric needs now: `keep` has changed."""
    rows = owned.folded.rows
    has_short, is_short = table.ring_rows[rows] == SHORT, table.is_short[rows]
    for row in rows[is_short].tolist():
        table.overflow.drop(row)
    is_left = (table.state_rows[rows] >= 0) & (has_short != is_short)
    if not is_left.any():
        return
    for at in np.unique(owned.partition[is_left]).tolist():
        mine = is_left & (owned.partition == at)
        _leave_some(table, rows[mine & ~has_short], rows[mine & has_short], deal, at)
        owned.addresses[at].note_freed()
    table.state_rows[rows[is_left]], table.ring_rows[rows[is_left]] = NOWHERE


def _leave_some(table: Table, narrowed: Ints, widened: Ints, deal: _Deal, at: int) -> None:
    """Zero the rows that series of one partition give up: some get short rows, some had them."""
    shape, writes = table.shape, deal.writes[at]
    wide, short, rings = (
        table.state_rows[narrowed], table.state_rows[widened], table.ring_rows[narrowed],
    )  # fmt: skip
    zeros = shape.cleared(wide), shape.cleared_rings(rings[rings >= 0]), shape.short.cleared(short)
    deal.runs(zeros, at)
    both = zip(wide.tolist(), rings.tolist(), strict=True)
    writes.freed[0].extend(Address(*each).packed() for each in both)
    writes.freed[2].extend(b"%d" % row for row in short.tolist())
    names = list(map(deal.name, narrowed.tolist()))
    writes.within.extend(names)
    writes.undeclared.extend(names)
    writes.began.update(table.series[row][1] for row in widened.tolist())


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


def _give_addresses(table: Table, owned: Owned, of_cells: Ints, deal: _Deal) -> None:
    """Give rows to those that have none, and rings to those with cells, by position."""
    rows, given = owned.folded.rows, dict[int, Address]()  # by position
    for at in np.flatnonzero(table.state_rows[rows] < 0).tolist():
        row, addresses = int(rows[at]), owned.addresses[owned.partition[at]]
        given[at] = addresses.take_short() if table.is_short[row] else addresses.take()
        table.state_rows[row], table.ring_rows[row] = given[at]
    ringless = of_cells[table.ring_rows[rows[of_cells]] < 0] if len(of_cells) else of_cells
    for at in sorted(set(ringless.tolist())):
        row = int(rows[at])
        table.ring_rows[row] = owned.addresses[owned.partition[at]].take_ring()
        given[at] = Address(int(table.state_rows[row]), int(table.ring_rows[row]))
    for at, address in given.items():
        writes = deal.writes[owned.partition[at]]
        writes.rows.extend((deal.name(int(rows[at])), address.packed()))
