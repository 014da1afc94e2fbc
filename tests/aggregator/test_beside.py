"""Counters and quantiles beside rows: the same in whatever batches readings arrive, and after restarts."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from support.row_memory import RowMemory

from aggregator.fold import fold
from aggregator.overflow import Horizon
from aggregator.table import Table, Unseen
from tributary.errors import Misconfigured
from tributary.model import catalogue
from tributary.model.aggregate import OVERFLOW_CELL, Layout
from tributary.model.counter import ALWAYS, Clock, Counter, Known, RollOver
from tributary.model.counter import Form as CounterForm
from tributary.model.declared import Declared
from tributary.model.distribution import RANKS
from tributary.model.groups import Readings
from tributary.model.quantiles import Form, Quantiles, Rows
from tributary.model.rows import Shape
from tributary.model.window import parse_windows

WINDOWS = "1m/5s,15m/1m,1h/5m,24h/1h"
LAYOUT = Layout(parse_windows(WINDOWS), 10)
METRICS = catalogue.parse('[m]\nkind = "counter"\nquantiles = true\nrolls_over_at = 1000')
SHAPE = Shape(LAYOUT, Declared(LAYOUT, METRICS))
START_MS = 1_700_000_003_210
FUTURE_MAX_MS = 300_000
SERIES, PLAIN = ("car-7", "m"), ("car-7", "speed")


class Site:
    """Two series, one of them without anything declared; a table that can be loaded again."""

    def __init__(self) -> None:
        self.memory = RowMemory(SHAPE)
        self.load()

    def load(self) -> None:
        """Begin with what is stored, as after a restart."""
        self.table = Table(SHAPE, 2)
        stored = self.memory.stored(SERIES, PLAIN)
        self.table.load(0, Unseen([SERIES, PLAIN], ["car-7"]), stored, [None])

    def fold(self, now_ms: int, readings: list[tuple[int, float]]) -> None:
        """Fold readings of both series, and commit."""
        pairs = [(row, *reading) for reading in readings for row in (0, 1)]
        rows, times_ms, values = map(np.array, zip(*pairs, strict=True))
        batch, table = Readings(rows, times_ms, values), self.table
        for beside in (table.counters, table.quantiles):
            beside.fold(batch, Clock(now_ms, FUTURE_MAX_MS))
        horizon = Horizon(table.overflow, now_ms, FUTURE_MAX_MS)
        folded = fold(LAYOUT, table.state, table.rings, batch, horizon)
        self.memory.commit_fold(table, folded)

    def restored(self, now_ms: int) -> tuple[Counter, Quantiles, Rows]:
        """What is stored of the series, and its row."""
        found = self.memory.stored(SERIES)
        state, rings, pending = SHAPE.unpack(found)
        one, lacking, clock = found.each[0], int(pending[0]), Clock(now_ms, FUTURE_MAX_MS)
        rows = Rows(state[0], rings[0], np.frombuffer(SHAPE.beyond(one), OVERFLOW_CELL), lacking)
        counter = SHAPE.declared.counter("m", one.counter, Known.of(state[0], lacking), clock)
        return counter, SHAPE.declared.quantiles(one.quantiles, rows, clock), rows


@pytest.mark.parametrize("seed", range(4))
def test_they_do_not_depend_on_batches_and_restarts(seed: int):
    chance, site, now_ms, value = Random(seed), Site(), START_MS, 0.0
    counter = Counter(CounterForm(LAYOUT.windows, 10), RollOver(1000.0))
    quantiles = Quantiles(Form(LAYOUT))
    for _ in range(60):
        now_ms += chance.choice((300, 1_000, 7_000, 70_000, 400_000))
        readings = []
        for _ in range(chance.choice((1, 1, 2, 5, 40))):
            value = chance.choice((value + chance.random() * 40, value, 0.0)) % 1000
            late_ms = chance.choice((0, 0, 0, 0, 3_000, 70_000, 3_000_000, -200_000))
            readings.append((now_ms - late_ms + chance.randrange(300), value))
        for reading in readings:
            counter.add(*reading, Clock(now_ms, FUTURE_MAX_MS))
            quantiles.add(*reading, Clock(now_ms, FUTURE_MAX_MS))
        site.fold(now_ms, readings)
        if chance.random() < 0.5:
            continue
        site.load()
        stored_counter, stored_quantiles, rows = site.restored(now_ms)
        assert stored_counter.packed() == counter.packed()
        assert shown(stored_quantiles, now_ms) == shown(quantiles, now_ms)
        _check_counts(quantiles, rows)


def shown(quantiles: Quantiles, now_ms: int) -> list[object]:
    """Everything that windows show at a time, and what new readings are merged into."""
    found: list[object] = [quantiles.count, quantiles.newest_ms]
    for number, window in enumerate(LAYOUT.windows[1:], 1):
        now = now_ms // window.slot_ms
        values = quantiles.values(number, range(now - window.slots, now + 1), RANKS)
        sketches = quantiles.sketches(number)
        found += [sketches["count"].tolist(), sketches[sketches["count"] > 0].tobytes()]
        found.append(None if values is None else values.tolist())
    return found


def _check_counts(quantiles: Quantiles, rows: Rows) -> None:
    """Counts and extremes of sketches are those of the row."""
    for number, window in enumerate(LAYOUT.windows[1:], 1):
        found, exact = quantiles.sketches(number), rows.rings[window.name]
        for name in ("count", "min", "max"):
            held = exact["count"] > 0
            np.testing.assert_array_equal(found[name][held], exact[name][held])
        np.testing.assert_array_equal(found["count"], exact["count"])


def test_only_declared_series_have_any():
    site = Site()
    for second in range(200):
        site.fold(START_MS + second * 1000, [(START_MS + second * 1000, 1.0)])
    assert list(site.memory.counters) == list(site.memory.quantiles) == ["car-7|m"]


def test_slots_from_before_the_declaration_are_unknown():
    """A window has quantiles once all of its slots do."""
    site = Site()
    times_ms = [START_MS + second * 1000 for second in range(1_500)]
    site.fold(times_ms[400], [(time_ms, 5.0) for time_ms in times_ms[:400]])
    site.memory.counters.clear()
    site.memory.quantiles.clear()
    site.load()
    minute = LAYOUT.windows[1].slot_ms
    ranks = np.array([0.5])
    site.fold(times_ms[-1], [(time_ms, 5.0) for time_ms in times_ms[400:]])
    quantiles, last = site.restored(times_ms[-1])[1], times_ms[-1] // minute
    assert quantiles.values(1, range(last - 15, last + 1), ranks) == [5.0]
    assert quantiles.values(1, range(last - 30, last + 1), ranks) == [5.0]  # the ring is shorter
    assert quantiles.values(2, range(last // 5 - 4, last // 5 + 1), ranks) is None
    assert quantiles.values(2, range(last // 5 - 2, last // 5 + 1), ranks) == [5.0]
    assert Quantiles(Form(LAYOUT)).values(1, range(last, last + 1), ranks) is None
    for damaged in (b"", b"x" * 20, b"x" * 500):
        state, rings, _ = SHAPE.unpack(site.memory.stored(SERIES))
        rows = Rows(state[0], rings[0], site.restored(times_ms[-1])[2].overflow, 0)
        found = SHAPE.declared.quantiles(damaged, rows, ALWAYS)
        assert found.values(1, range(last - 15, last + 1), ranks) is None


@pytest.mark.parametrize("windows", ["1m/5s", "", "15m/1m,1h/90s", "15m/1m,1d/1h"])
def test_windows_that_cannot_have_quantiles_are_refused_only_for_them(windows: str):
    layout = Layout(parse_windows(windows), 10)
    Declared(layout, catalogue.parse('[m]\nkind = "counter"'))
    with pytest.raises(Misconfigured, match="TRIBUTARY_WINDOWS, or remove quantiles"):
        Declared(layout, METRICS)
