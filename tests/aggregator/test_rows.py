"""Rows in place: what is written of a fold, and what is read from it at any moment."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from support.row_memory import RowMemory

from aggregator.addresses import FREE_MAX, Addresses
from aggregator.fold import Folded, fold
from aggregator.overflow import Horizon
from aggregator.table import Table, Unseen
from tributary.model.address import SHORT, Address
from tributary.model.aggregate import Layout, Records
from tributary.model.groups import Readings
from tributary.model.rows import RING_CHUNK_BYTES, STATE_CHUNK_BYTES, Shape, Stored, StoredSeries
from tributary.model.window import parse_windows

START_MS = 1_700_000_003_210
DEFAULT = "1m/5s,15m/1m,1h/5m,24h/1h"


class Worker:
    """A table that folds, writes to memory, and now and then loads everything again."""

    def __init__(
        self, windows: str, average_over: int, series: int, latest: frozenset[str] = frozenset()
    ) -> None:
        self.latest = latest
        self.shape = Shape(Layout(parse_windows(windows), average_over))
        self.memory = RowMemory(self.shape)
        self.series = [(f"car-{n}", "m") for n in range(series)]
        self.load()

    def load(self) -> None:
        """Begin with what is stored."""
        self.table = Table(self.shape, len(self.series), latest=self.latest)
        devices = [device for device, _ in self.series]
        stored = self.memory.stored(*self.series)
        self.table.load(0, Unseen(self.series, devices), stored, [None] * len(devices))

    def fold(self, series: list[int], times_ms: list[int], values: list[float]) -> Folded:
        """Fold readings and commit what they change; the row of series n is n."""
        readings = Readings(np.array(series), np.array(times_ms), np.array(values))
        horizon = Horizon(self.table.overflow, max(times_ms), 300_000, self.table.is_short)
        found = fold(self.shape.layout, self.table.state, self.table.rings, readings, horizon)
        self.memory.commit_fold(self.table, found)
        return found

    def check(self) -> None:
        """What is stored is what is in memory."""
        state, rings, _ = self.shape.unpack(self.memory.stored(*self.series))
        held = self.table.state
        for name in ("count", "min", "max", "times_ms", "values"):
            np.testing.assert_array_equal(state[name], held[name])
        assert_close(state, held)
        wide = ~self.table.is_short
        assert_close(state["open"][wide], held["open"][wide])
        assert rings[wide].tobytes() == self.table.rings[wide].tobytes()
        texts = [self.memory.rows.get(f"{device}|m", b"") for device, _ in self.series]
        assert not state["open"]["count"][[text.startswith(b"s") for text in texts]].any()


def assert_close(found: Records, expected: Records) -> None:
    np.testing.assert_array_equal(found["count"], expected["count"])
    np.testing.assert_allclose(found["mean"], expected["mean"], rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(found["m2"], expected["m2"], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("average_over", [1, 2, 10])
@pytest.mark.parametrize("windows", [DEFAULT, "10s/2s", ""], ids=["default", "one", "none"])
def test_what_is_stored_is_what_was_folded(windows: str, average_over: int):
    chance = Random(average_over)
    worker = Worker(windows, average_over, 7)
    now_ms = START_MS
    for _ in range(150):
        now_ms += chance.choice((1, 300, 1_000, 7_000, 70_000))
        count = chance.choice((1, 1, 1, 3, 30))
        series = [chance.randrange(7) for _ in range(count)]
        late_ms = [chance.choice((0, 0, 0, 0, 1, 900, 6_000, 400_000)) for _ in range(count)]
        step_ms = chance.choice((0, 1, 1_000))
        times_ms = [now_ms + n * step_ms - late for n, late in enumerate(late_ms)]
        worker.fold(series, times_ms, [chance.gauss(80, 9) for _ in series])
        worker.check()
        if chance.random() < 0.1:
            worker.load()


@pytest.mark.parametrize("windows", [DEFAULT, ""], ids=["default", "none"])
def test_what_is_stored_while_keep_changes_is_what_was_folded(windows: str):
    """Each time it changes, windows begin empty or end, and everything else continues."""
    chance = Random(windows)
    worker = Worker(windows, 10, 7)
    now_ms = START_MS
    for number in range(160):
        if number % 16 == 0:
            worker.latest = frozenset({"m"} if chance.random() < 0.5 else ())
            worker.load()
        now_ms += chance.choice((1, 300, 1_000, 7_000, 70_000))
        series = [chance.randrange(7) for _ in range(chance.choice((1, 1, 3, 30)))]
        times_ms = [now_ms - chance.choice((0, 0, 900, 6_000, 400_000)) for _ in series]
        worker.fold(series, times_ms, [chance.gauss(80, 9) for _ in series])
        worker.check()
    in_use = [Address.parse(text) for text in worker.memory.rows.values()]
    free = [Address.parse(text) for text in worker.memory.free[0]]
    wide = [address.state for address in (*in_use, *free) if address.ring != SHORT]
    assert len(set(wide)) == len(wide), "no row is in use twice"
    rows, chunks = np.array([address.state for address in free]), worker.memory.stored().chunks
    assert not worker.shape.states(rows, chunks)[0]["count"].any()


def test_a_short_row_has_no_rings_and_nothing_is_late():
    worker = Worker(DEFAULT, 10, 1, frozenset({"m"}))
    for second in (0, 100_000, 200_000):
        found = worker.fold([0], [START_MS + second * 1_000], [1.0])
    found = worker.fold([0], [START_MS - 90_000_000], [1.0])
    assert (len(found.late), worker.memory.rows) == (0, {"car-0|m": b"s0"})
    assert {key.split(":")[2] for key in worker.memory.chunks} == {"short"}
    assert worker.shape.short.row_bytes == 200
    wide = Worker(DEFAULT, 10, 1)
    wide.fold([0], [START_MS], [1.0])
    assert len(wide.fold([0, 0], [START_MS, START_MS - 90_000_000], [1.0, 1.0]).late) == 1


def test_neighbours_of_one_pace_are_written_together_and_little():
    worker = Worker(DEFAULT, 10, 95)
    everyone = list(range(95))
    seconds = [START_MS // 60_000 * 60_000 + second * 1_000 for second in range(65)]
    for time_ms in seconds[:60]:
        worker.fold(everyone, [time_ms] * 95, [1.0] * 95)
    chunks = -(-95 // worker.shape.state_rows)
    # A new minute closes a slot of two windows: the cell, the base, and 32 bytes of each.
    worker.memory.written.clear()
    worker.fold(everyone, [seconds[60]] * 95, [1.0] * 95)
    assert len(worker.memory.written) <= 2 * chunks + 2 * 95 + worker.shape.ring_rows
    # In the middle of a slot it is one cell of 16 bytes each.
    worker.memory.written.clear()
    worker.fold(everyone, [seconds[61]] * 95, [1.0] * 95)
    assert len(worker.memory.written) == chunks
    assert sum(worker.memory.written) == 95 * 16


def test_the_base_follows_at_the_latest_with_the_last_cell():
    worker = Worker("24h/1h", 10, 1)
    sizes = []
    for second in range(25):
        worker.memory.written.clear()
        worker.fold([0], [START_MS + second * 1_000], [1.0])
        sizes.append(sum(worker.memory.written))
        worker.check()
    base = 16 + worker.shape.base.itemsize
    assert sizes[1:] == ([*[16] * 9, base] * 3)[:24]


def test_rows_are_numbered_once_and_free_ones_are_used_first():
    shape = Shape(Layout(parse_windows(DEFAULT), 10))
    numbered = (shape.state_rows, 1, 0)
    addresses = Addresses(3, shape, numbered, [[b"7,2", b"9"], [b"0"], []])
    assert [addresses.take() for _ in range(3)] == [(7, 2), (9, -1), (shape.state_rows, -1)]
    assert [addresses.take_ring(), addresses.take_ring()] == [0, 1]
    assert addresses.take_short() == (0, SHORT)
    last, short_last = shape.state_bytes - 1, shape.short.state_bytes - 1
    assert addresses.new_chunks() == ([(1, last, b"\0")], [], [(0, short_last, b"\0")])
    fields = {"state_rows": shape.state_rows + 1, "ring_rows": 2, "short_rows": 1}
    assert addresses.commit() == (
        [str(part) for pair in fields.items() for part in pair],
        [2, 1, 0],
    )
    assert addresses.commit() == ([], [0, 0, 0])
    mark = addresses.mark()
    addresses.learn([[b"1", b"2,3"], [], [b"5"]], mark)
    assert (addresses.take(), addresses.take_short()) == ((1, -1), (5, SHORT))
    addresses.learn([[b"1", b"2,3"], [], [b"5"]], mark)  # the reply comes after a row was used
    assert (addresses.take(), addresses.take_short()) == ((2, 3), (1, SHORT))


def test_the_lists_of_free_rows_are_read_again_when_there_may_be_more():
    full = [b"%d" % row for row in range(FREE_MAX)]
    addresses = Addresses(
        3, Shape(Layout(parse_windows(DEFAULT), 10)), (5_000, 0, 0), [full, [], []]
    )
    taken = [addresses.take() for _ in range(FREE_MAX * 3 // 4)]
    assert not addresses.needs_more
    taken.append(addresses.take())
    assert addresses.needs_more
    addresses.commit()
    mark = addresses.mark()
    assert not addresses.needs_more, "they are being read"
    addresses.learn([full[len(taken) :], [], []], mark)
    assert not addresses.needs_more
    addresses.note_freed()
    assert addresses.needs_more


@pytest.mark.parametrize("windows", [DEFAULT, "", "1h/5s,24h/1m"])
def test_a_chunk_is_bounded(windows: str):
    shape = Shape(Layout(parse_windows(windows), 10))
    assert max(shape.state_bytes, shape.short.state_bytes) <= STATE_CHUNK_BYTES
    assert shape.rings_bytes <= RING_CHUNK_BYTES or shape.ring_rows == 1


@pytest.mark.parametrize(
    "stored",
    [
        Stored(Address(0, -1), None, None, b""),
        Stored(None, b"short", None, b""),
        Stored(None, None, b"short", b""),
    ],
)
def test_a_value_of_another_length_is_refused(stored: Stored):
    with pytest.raises(ValueError, match="another length"):
        Shape(Layout(parse_windows(DEFAULT), 10)).unpack(StoredSeries([stored], {0: b"short"}))


@pytest.mark.parametrize(
    ("text", "address"), [(b"12,7", (12, 7)), (b"12", (12, -1)), (b"s12", (12, SHORT))]
)
def test_an_address_is_packed_and_parsed(text: bytes, address: tuple[int, int]):
    assert Address.parse(text) == address
    assert Address(*address).packed() == text
    with pytest.raises(ValueError, match="invalid literal"):
        Address.parse(text + b"x")
