"""Quantiles of windows: how far they are from those of the readings, on signals of many kinds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tributary.model.aggregate import Layout
from tributary.model.counter import Clock
from tributary.model.distribution import RANKS, Curve, joined
from tributary.model.groups import Floats
from tributary.model.open_slot import VALUES_MAX, OpenSlot
from tributary.model.quantiles import Form, Quantiles
from tributary.model.window import parse_windows

LAYOUT = Layout(parse_windows("1m/5s,15m/1m,1h/5m,24h/1h"), 10)
START_MS = 1_700_000_000_000
SHOWN = np.array([0.5, 0.95, 0.99])
CHANCE = np.random.default_rng(1)
STEPS = np.arange(4_000)
SIGNALS = {
    "normal": CHANCE.normal(90, 2, len(STEPS)),
    "uniform": CHANCE.uniform(800, 6_000, len(STEPS)),
    "exponential": CHANCE.exponential(10, len(STEPS)),
    "heavy tail": CHANCE.pareto(1.5, len(STEPS)),
    "spikes": np.where(CHANCE.random(len(STEPS)) < 0.01, 1_000, CHANCE.normal(20, 1, len(STEPS))),
    "outages": np.where(CHANCE.random(len(STEPS)) < 0.01, -1_000, CHANCE.normal(20, 1, len(STEPS))),
    "wave": 50 + 20 * np.sin(STEPS / 200) + CHANCE.normal(0, 1, len(STEPS)),
    "ramp": STEPS * 0.01 + CHANCE.normal(0, 0.1, len(STEPS)),
    "walk": np.cumsum(CHANCE.normal(0, 1, len(STEPS))),
    "large": 1.7e9 + CHANCE.normal(0, 1, len(STEPS)),
    "huge": 1e308 * CHANCE.uniform(-1, 1, len(STEPS)),
}


def rank_error(values: Floats, found: Floats) -> Floats:
    """How far the ranks of values are from `SHOWN`."""
    ordered = np.sort(values)
    low, high = (np.searchsorted(ordered, found, side) / len(values) for side in ("left", "right"))
    return np.maximum(0.0, np.maximum(low - SHOWN, SHOWN - high))


def errors(signal: Floats, interval_ms: int) -> Floats:
    """The largest rank errors of any window, at several times."""
    quantiles, times_ms = Quantiles(Form(LAYOUT)), START_MS + STEPS * interval_ms
    clock, largest = Clock(1 << 50, 0), np.zeros(len(SHOWN))
    for count, (time_ms, value) in enumerate(zip(times_ms.tolist(), signal.tolist(), strict=True)):
        quantiles.add(time_ms, value, clock)
        if count % 999 != 998:
            continue
        for number, window in enumerate(LAYOUT.windows[1:], 1):
            now = time_ms // window.slot_ms
            found = quantiles.values(number, range(now - window.slots, now + 1), SHOWN)
            assert found is not None
            first = np.searchsorted(times_ms, (now - window.slots) * window.slot_ms)
            largest = np.maximum(largest, rank_error(signal[first : count + 1], found))
    return largest


@pytest.mark.parametrize(
    ("kind", "interval_ms"),
    [*((kind, 1_000) for kind in SIGNALS), ("normal", 100), ("heavy tail", 20_000)],
)
def test_rank_errors_are_small(kind: str, interval_ms: int):
    p50, p95, p99 = errors(SIGNALS[kind], interval_ms)
    assert p50 < 0.08
    assert p95 < 0.05
    assert p99 < 0.02


def test_a_constant_is_exact():
    assert errors(np.full(len(STEPS), 0.1), 1_000).tolist() == [0, 0, 0]


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(finite, min_size=1, max_size=300))
def test_the_sketch_of_any_readings_is_in_order_and_between_the_extremes(values: list[float]):
    slot = OpenSlot()
    for value in values:
        slot.add(value)
    assert slot.count == len(values)
    restored = OpenSlot.parse(slot.packed())
    assert restored.packed() == slot.packed()
    curve = slot.curve()
    assert curve is not None
    sketch = curve.sketch()
    assert (sketch["count"], sketch["min"], sketch["max"]) == (
        len(values), min(values), max(values),
    )  # fmt: skip
    again = Curve.of_slot(sketch)
    assert again is not None
    assert again.values.tolist() == sorted(again.values.tolist())
    assert (again.values[0], again.values[-1]) == (min(values), max(values))
    if len(set(values)) == 1:
        assert set(again.values.tolist()) == set(values)


@given(st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=8), min_size=1, max_size=4))
def test_joined_distributions_have_the_shares_of_all_their_readings(slots: list[list[int]]):
    """Of distributions that are exact: each value is one."""
    curves = [Curve.of_one(float(value)) for values in slots for value in values]
    whole = np.sort(np.concatenate([np.array(values, float) for values in slots]))
    found = joined(curves)
    assert found.readings == len(whole)
    ranks = (np.arange(len(whole)) + 0.5) / len(whole)
    np.testing.assert_allclose(found.at(ranks), whole)


def test_an_open_slot_stays_small_and_represents_all_of_its_readings():
    slot, values = OpenSlot(), CHANCE.normal(0, 1, 10_000)
    for value in values.tolist():
        slot.add(value)
        assert len(slot.packed()) <= 31 + 2 * VALUES_MAX
    curve = slot.curve()
    assert curve is not None
    assert curve.readings == len(values)
    assert rank_error(values, curve.at(SHOWN)).max() < 0.03


def test_late_readings_are_merged_into_closed_slots():
    """Shuffled over a quarter of an hour, as by a queue that was full."""
    values = CHANCE.normal(50, 5, 1_800)
    order = np.argsort(np.arange(1_800) + CHANCE.uniform(0, 300, 1_800))
    quantiles = Quantiles(Form(LAYOUT))
    for at in order.tolist():
        quantiles.add(START_MS + at * 1_000, float(values[at]), Clock(1 << 50, 0))
    now = (START_MS + 1_799_000) // 300_000
    found = quantiles.values(2, range(now - 12, now + 1), SHOWN)
    assert found is not None
    assert rank_error(values, found).max() < 0.1
    assert not math.isnan(found[0])
    assert quantiles.count == 1_800
    assert RANKS.tolist() == sorted(RANKS.tolist())
