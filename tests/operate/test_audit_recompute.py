"""The tolerance of the audit: rounding of any number of late batches, and nothing more."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from tributary.model import aggregate
from tributary.operate.audit import recompute


def late(values: list[float]) -> recompute.Exact:
    """The statistics of a closed slot that received its readings late, one by one."""
    cells = np.zeros(1, aggregate.CLOSED_CELL)
    aggregate.clear(cells)
    one, zero = np.array([1]), np.array([0.0])
    for value in values:
        cell = np.array([value])
        merged = aggregate.opened(cells)
        aggregate.merge(merged, aggregate.Summary(one, cell, zero, cell, cell))
        cells = aggregate.closed(merged)
    found = recompute.from_cell(aggregate.opened(cells)[0])
    assert found is not None
    return found


@pytest.mark.parametrize("scale", [1.0, 1e300])
def test_rounding_of_late_readings_is_no_difference(scale: float):
    random = Random(3)
    values = [random.gauss(3, 1) * scale for _ in range(8_000)]
    exact, found = recompute.summarize(values), late(values)
    assert recompute.are_equal(exact, found)
    assert not recompute.are_equal(recompute.summarize([*values[1:], 3.1 * scale]), found)


def test_a_changed_deviation_is_a_difference():
    exact = recompute.summarize([1.0, 2.0, 4.0])
    assert not recompute.are_equal(exact, exact._replace(deviation=exact.deviation * (1 + 1e-5)))
