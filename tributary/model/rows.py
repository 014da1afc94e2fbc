"""How the aggregates of series are stored: rows of strings, written in place. Pure.

A partition numbers the rows of its state and those of its rings; `Address` has the numbers of a
series. A chunk is one string, and holds `state_rows` or `ring_rows` rows.

A chunk of rings is the rings of its rows one after the other, as `Layout.rings`; zeros are an
empty slot.

A chunk of state begins with the newest readings of its rows (`NEWEST`), by cell and then by row,
so that neighbours that record at the same pace are written together: of a series whose count is
n, reading n is in cell n % cells, the one before it in cell (n - 1) % cells, and so on. Behind
them are the bases of the rows: totals and open slots.
A reading that is newer than all others of its series and is in the open slots only adds a
`NEWEST` cell, which costs 16 bytes; the base follows when a slot closes, and at the latest with
the last cell. So a base may be behind: the readings that it lacks are the cells behind that of
its count, as long as their times increase. `unpack` merges them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tributary.model import aggregate
from tributary.model.address import NOWHERE, SHORT, Address
from tributary.model.aggregate import CLOSED_CELL, NO_TIME, Layout, Records, Summary, merge
from tributary.model.declared import Declared
from tributary.model.groups import Ints

# With their headers, chunks fit a block of the allocator. One of state is read as a whole.
STATE_CHUNK_BYTES, RING_CHUNK_BYTES = 8_160, 32_736
NEWEST = np.dtype([("time_ms", "<i8"), ("value", "<f8")])
_BASE = ("count", "mean", "m2", "min", "max", "open")
_SPAN = 1 << 25  # between the chunks in a global offset; more than a chunk has bytes
CHUNKS_MAX = 1 << 26  # of a kind in a partition, between those of two partitions; see `apart`


class Stored(NamedTuple):
    """What is stored of a series, besides its row of state; of an unknown one, nothing.

    Without an address, it is of format 2: `state` is a `Layout.state` record, and `rings` may be
    followed by `OVERFLOW_CELL` records, which otherwise are `beyond`.
    """

    address: Address | None
    state: bytes | None
    rings: bytes | None
    beyond: bytes
    counter: bytes | None = None  # of a metric that is one; see `tributary/model/counter.py`
    quantiles: bytes | None = None  # of a metric that has them; see `tributary/model/quantiles.py`


class StoredSeries(NamedTuple):
    """Series, and the chunks of state with their rows, by number; that of short ones is ~number."""

    each: list[Stored]
    chunks: Mapping[int, bytes]


UNKNOWN = Stored(None, None, None, b"")


class Unpacked(NamedTuple):
    """The aggregates of some series, one row each."""

    state: Records
    rings: Records
    pending: Ints  # how many readings the stored base lacked


class Run(NamedTuple):
    """Bytes to write into a chunk."""

    chunk: int
    offset: int
    data: bytes


class Shape:
    """Where rows are in their chunks, for given windows and a given length of the average."""

    def __init__(self, layout: Layout, declared: Declared | None = None) -> None:
        self.layout = layout
        self.declared = declared or Declared(layout)  # what is stored beside the rows
        fields = layout.state.fields
        assert fields is not None
        self._names = _BASE if layout.windows else _BASE[:-1]
        self.base = np.dtype([(name, fields[name][0]) for name in self._names])
        self.cells = layout.average_over
        self.row_bytes = self.base.itemsize + self.cells * NEWEST.itemsize
        self.ring_bytes = layout.rings.itemsize
        self.ring_cells = self.ring_bytes // CLOSED_CELL.itemsize
        self.state_rows = max(1, STATE_CHUNK_BYTES // self.row_bytes)
        self.ring_rows = max(1, RING_CHUNK_BYTES // max(1, self.ring_bytes))
        self.short = Shape(Layout((), self.cells)) if layout.windows else self

    @property
    def state_bytes(self) -> int:
        """The length of a chunk of state."""
        return self.state_rows * self.row_bytes

    @property
    def rings_bytes(self) -> int:
        """The length of a chunk of rings."""
        return self.ring_rows * self.ring_bytes

    @property
    def arguments(self) -> tuple[str, ...]:
        """What scripts need of it, in the order of ARGV."""
        rows = self.state_rows, self.ring_rows, self.ring_bytes, self.short.state_rows
        return tuple(map(str, rows))

    @cached_property
    def row_arguments(self) -> tuple[str, ...]:
        """The same, and what is needed to clear a row."""
        sizes = self.cells, self.base.itemsize, self.short.base.itemsize
        return (*self.arguments, *map(str, sizes))

    def unpack(self, stored: StoredSeries) -> Unpacked:
        """The aggregates; of an unknown series, those of no reading.

        Raises:
            ValueError: a value has another length.
        """
        each = stored.each
        state = np.full(len(each), self.layout.no_state)
        pending = np.zeros(len(each), np.int64)
        places = np.array([one.address or NOWHERE for one in each]).reshape(-1, 2).T
        held, short = (places[0] >= 0) & (places[1] != SHORT), places[1] == SHORT
        if held.any():
            state[held], pending[held] = self.states(places[0][held], stored.chunks)
        if short.any():
            chunks = {~number: chunk for number, chunk in stored.chunks.items() if number < 0}
            part, pending[short] = self.short.states(places[0][short], chunks)
            for name in (*_BASE[:-1], "times_ms", "values"):
                state[name][short] = part[name]
        old = [one.state is not None for one in each]
        if any(old):
            state[old] = self._records(self.layout.state, [one.state for one in each], old)
        rings = np.full(len(each), self.layout.no_rings)
        ringed = [one.rings is not None for one in each]
        if any(ringed):
            packed = [one.rings and one.rings[: self.ring_bytes] for one in each]
            rings[ringed] = self._rings(self._records(self.layout.rings, packed, ringed))
        return Unpacked(state, rings, pending)

    def states(self, rows: Ints, chunks: Mapping[int, bytes]) -> tuple[Records, Ints]:
        """The state in rows, and how many readings the base of each lacked.

        Raises:
            ValueError: a chunk has another length.
        """
        return self._state(*self._rows(rows, chunks))

    def _rows(self, rows: Ints, chunks: Mapping[int, bytes]) -> tuple[Records, Records]:
        """Bases and newest readings of rows."""
        numbers, at = np.unique(rows // self.state_rows, return_inverse=True)
        packed = [chunks.get(number, b"") for number in numbers.tolist()]
        if any(len(chunk) != self.state_bytes for chunk in packed):
            raise ValueError(f"a chunk of state has another length than {self.state_bytes} bytes")
        held = np.frombuffer(b"".join(packed), np.uint8).reshape(len(packed), -1)
        newest_bytes = self.state_rows * self.cells * NEWEST.itemsize
        newest = np.ascontiguousarray(held[:, :newest_bytes]).view(NEWEST)
        base = np.ascontiguousarray(held[:, newest_bytes:]).view(self.base)
        row = rows % self.state_rows
        by_cell = newest.reshape(len(packed), self.cells, self.state_rows)
        return base[at, row], by_cell[at, :, row]

    def beyond(self, stored: Stored) -> bytes:
        """The `OVERFLOW_CELL` records of a series."""
        return (stored.rings or b"")[self.ring_bytes :] + stored.beyond

    def _records(
        self, record: np.dtype[np.void], packed: Sequence[bytes | None], which: list[bool]
    ) -> Records:
        values = [value or b"" for value, wanted in zip(packed, which, strict=True) if wanted]
        if any(len(value) != record.itemsize for value in values):
            raise ValueError(f"an aggregate has another length than {record.itemsize} bytes")
        return np.frombuffer(b"".join(values), record)

    def _state(self, base: Records, newest: Records) -> tuple[Records, Ints]:
        """Stored rows as records, and how many readings each base lacked."""
        following = (base["count"][:, None] + np.arange(self.cells)) % self.cells
        times_ms = np.take_along_axis(newest["time_ms"], following, axis=1)
        increases = times_ms[:, 1:] > times_ms[:, :-1]
        lacked: Ints = np.cumprod(increases, axis=1).sum(axis=1)
        state = np.full(len(base), self.layout.no_state)
        for name in self._names:
            state[name] = base[name]
        last = base["count"] + lacked
        numbers = last[:, None] - np.arange(self.cells)[::-1]
        at, known = numbers % self.cells, numbers > 0
        for name, column, none in (("times_ms", "time_ms", NO_TIME), ("values", "value", 0.0)):
            found = np.take_along_axis(newest[column], at, axis=1)
            state[name] = np.where(known, found, none)
        self._merge(state, lacked)
        return state, lacked

    def _merge(self, state: Records, lacked: Ints) -> None:
        """Merge the last `lacked` of the newest readings, one by one as they were recorded."""
        for back in range(int(lacked.max(initial=0)), 0, -1):
            which = lacked >= back
            part, values = state[which], state["values"][which, -back]
            one = Summary(np.ones(len(part), np.int64), values, np.zeros(len(part)), values, values)
            merge(part, one)
            merge(part["open"], one.at((slice(None), None)))
            state[which] = part

    def _rings(self, rings: Records) -> Records:
        cells = rings.copy().view(CLOSED_CELL).reshape(len(rings), -1)
        empty = cells["count"] == 0
        none = np.zeros(int(empty.sum()), CLOSED_CELL)
        aggregate.clear(none)
        cells[empty] = none
        return cells.reshape(-1).view(self.layout.rings)

    def bases(self, rows: Ints, state: Records) -> list[Run]:
        """Write the bases of rows."""
        packed = np.empty(len(rows), self.base)
        for name in self._names:
            packed[name] = state[name]
        offset = self.state_rows * self.cells * NEWEST.itemsize
        return runs(*self._at(rows, self.state_rows, self.base.itemsize, offset), packed)

    def newest(self, rows: Ints, state: Records, counts: Ints) -> list[Run]:
        """Write the last `counts` of the newest readings of rows."""
        back = np.arange(self.cells)[::-1]
        series, column = np.nonzero(back < counts[:, None])
        cell = (state["count"][series] - back[column]) % self.cells
        packed = np.empty(len(series), NEWEST)
        packed["time_ms"] = state["times_ms"][series, column]
        packed["value"] = state["values"][series, column]
        size = NEWEST.itemsize
        chunk, offset = self._at(rows[series], self.state_rows, size, 0)
        return runs(chunk, offset + cell * self.state_rows * size, packed)

    def closed(self, rows: Ints, cells: Ints, packed: Records) -> list[Run]:
        """Write `CLOSED_CELL` records into the rings of rows; each row and cell occurs once."""
        chunk, offset = self._at(rows, self.ring_rows, self.ring_bytes, 0)
        return runs(chunk, offset + cells * CLOSED_CELL.itemsize, packed)

    def apart(self, rows: Ints, partitions: Ints) -> Ints:
        """Rows of state of several partitions, so that they can be written together.

        `partitions`: a number of the partition of each, up to 2,047. The number of a chunk is
        then that of its partition times `CHUNKS_MAX`, plus its own.
        """
        found: Ints = rows + partitions * (CHUNKS_MAX * self.state_rows)
        return found

    def rings_apart(self, rows: Ints, partitions: Ints) -> Ints:
        """The same with rows of rings."""
        found: Ints = rows + partitions * (CHUNKS_MAX * self.ring_rows)
        return found

    def cleared(self, rows: Ints) -> list[Run]:
        """Write zeros into rows of state, so that nothing is left of a series."""
        size = NEWEST.itemsize
        offset = self.state_rows * self.cells * size
        base = np.zeros(len(rows), self.base)
        written = runs(*self._at(rows, self.state_rows, self.base.itemsize, offset), base)
        for cell in range(self.cells):
            at = self._at(rows, self.state_rows, size, cell * self.state_rows * size)
            written += runs(*at, np.zeros(len(rows), NEWEST))
        return written

    def cleared_rings(self, rows: Ints) -> list[Run]:
        """Write zeros into rows of rings: every slot is empty."""
        zeros = np.zeros(len(rows), f"V{self.ring_bytes}")
        return runs(*self._at(rows, self.ring_rows, self.ring_bytes, 0), zeros)

    @staticmethod
    def _at(rows: Ints, rows_in_chunk: int, size: int, first: int) -> tuple[Ints, Ints]:
        return rows // rows_in_chunk, rows % rows_in_chunk * size + first


def runs(chunks: Ints, offsets: Ints, packed: NDArray[np.void]) -> list[Run]:
    """Join records that are neighbours in a chunk."""
    if len(chunks) <= 1:  # fast code: most turns of a deployment with few readings
        return [Run(int(chunks[0]), int(offsets[0]), packed.tobytes())] if len(chunks) else []
    size = packed.dtype.itemsize
    places = chunks * _SPAN + offsets
    order = places.argsort(kind="stable")
    places, data = places[order], packed.take(order).tobytes()
    is_first = np.empty(len(places), np.bool_)
    is_first[0] = True
    np.not_equal(places[1:], places[:-1] + size, out=is_first[1:])
    first = is_first.nonzero()[0]
    begins, of_first = places[first], (first * size).tolist()
    return [
        Run(chunk, offset, data[begin:end])
        for chunk, offset, begin, end in zip(
            (begins // _SPAN).tolist(), (begins % _SPAN).tolist(),
            of_first, [*of_first[1:], len(data)], strict=True,
        )
    ]  # fmt: skip
