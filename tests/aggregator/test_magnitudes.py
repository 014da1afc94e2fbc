"""Statistics of doubles of any magnitude are correct or null, never 0 or infinite."""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.fold import fold
from aggregator.latest import averages
from api.read import query
from api.read.bodies import Statistics
from tributary.model.aggregate import Layout
from tributary.model.groups import Readings
from tributary.model.window import parse_windows

LAYOUT = Layout(parse_windows("1m/5s,1h/5m"), 10)
START_MS = 1_700_000_000_000

scales = st.one_of(st.integers(-323, 307), st.sampled_from([-323, -308, -165, -162, 153, 155, 307]))
numbers = st.one_of(
    st.tuples(scales, st.lists(st.floats(-1, 1), min_size=1, max_size=30)).map(
        lambda drawn: [value * 10.0 ** drawn[0] for value in drawn[1]]
    ),
    st.tuples(scales, st.lists(st.integers(0, 30), min_size=1, max_size=30)).map(
        lambda drawn: [10.0 ** drawn[0] * (1 + step * 2e-16) for step in drawn[1]]
    ),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30),
)


def statistics(values: list[float], random: Random) -> list[dict[str, object]]:
    """The total and the window of all values, 1 s apart, after any split into batches."""
    state, rings = np.full(1, LAYOUT.no_state), np.full(1, LAYOUT.no_rings)
    times_ms = START_MS + 1000 * np.arange(len(values))
    order = np.array(random.sample(range(len(values)), len(values)))
    while len(order):
        batch, order = np.split(order, [random.randint(1, 10)])
        part = Readings(np.zeros(len(batch), int), times_ms[batch], np.array(values)[batch])
        fold(LAYOUT, state, rings, part)
    assert min(values) <= averages(state)[0] <= max(values)
    series = query.unpack(LAYOUT, state[0].tobytes(), rings[0].tobytes())
    now_ms = int(times_ms[-1])
    return [query.total(series), *(query.window(LAYOUT, series, n, now_ms) for n in (0, 1))]


def check(found: Statistics, values: list[float]) -> None:
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    assert (found.count, found.min, found.max) == (len(values), min(values), max(values))
    assert isinstance(found.mean, float)
    assert min(values) <= found.mean <= max(values)
    magnitude = max(abs(value) for value in exact)
    assert abs(Fraction(found.mean) - mean) <= magnitude / 10**14 + Fraction(5e-324)
    if len(values) < 2:
        assert found.stddev is None
        return
    variance = sum((value - mean) ** 2 for value in exact) / (len(exact) - 1)
    if variance > Fraction(1.7e308) ** 2:
        assert found.stddev is None or math.isfinite(found.stddev)  # type: ignore[arg-type]
        return
    assert isinstance(found.stddev, float)
    stddev = Fraction(found.stddev)
    slack = magnitude / 10**14 + Fraction(5e-324)  # tolerance of means
    low, high = (
        stddev * Fraction(999_999, 10**6) - slack,
        stddev * Fraction(1_000_001, 10**6) + slack,
    )
    assert low <= 0 or low**2 <= variance
    assert variance <= high**2
    if max(values) > min(values) and variance > (2 * slack) ** 2:
        assert found.stddev > 0


@given(numbers, st.randoms())
def test_statistics_are_correct_at_any_magnitude(values: list[float], random: Random):
    for found in statistics(values, random):
        check(found, values)


@pytest.mark.parametrize(
    "scale", [5e-324, 1e-320, 1e-300, 1e-163, 1e-46, 1e39, 1e155, 1e200, 4e307]
)
def test_a_deviation_neither_overflows_nor_underflows(scale: float):
    values = [scale, 2 * scale, 4 * scale, 3 * scale] * 5
    for found in statistics(values, Random(1)):
        stddev = found.stddev
        assert isinstance(stddev, float)
        assert math.isclose(stddev / scale, 1.147, rel_tol=0.15)


def test_a_deviation_too_large_for_a_double_is_null():
    for found in statistics([1.7e308, -1.7e308], Random(1)):
        assert found.stddev is None
        assert found.mean == 0


def test_a_mean_is_between_minimum_and_maximum():
    for value in (0.1, 0.3, 1e-17, 1.7e308, 5e-324):
        for count in range(1, 30):
            for found in statistics([value] * count, Random(count)):
                assert found.mean == value
