"""What is packed is what was computed."""

from __future__ import annotations

import numpy as np
import pytest

from tributary.model.aggregate import CELL, CLOSED_CELL, Layout, closed, opened, relative_m2
from tributary.model.window import parse_windows


@pytest.mark.parametrize("m2", [0.0, 1e-20, 0.1, 12_345.678, 1e70])
def test_closing_a_slot_only_rounds_its_deviation(m2: float):
    cells = np.array(
        [(7, 0.1, m2, -1e300, 1 / 3), (4_000_000_000, 1e9 + 0.1, m2, 5e-324, 1.0)], CELL
    )
    again = opened(closed(cells))
    for name in ("count", "mean", "min", "max"):
        assert again[name].tolist() == cells[name].tolist()
    assert np.allclose(np.sqrt(again["m2"]), np.sqrt(m2), rtol=1e-7, atol=0)


@pytest.mark.parametrize("m2", [1e300, 1e280, 1e-100, 5e-324])
def test_a_deviation_outside_single_precision_is_stored_relative(m2: float):
    magnitude = np.sqrt(m2)
    cells = np.array([(2, 0.0, m2, -magnitude, magnitude)], CELL)
    again = opened(closed(cells))
    relative = relative_m2(again["m2"], again["min"], again["max"], 0)
    assert np.allclose(relative, m2, rtol=1e-6, atol=0)


def test_the_closed_slots_of_the_default_windows_fit_two_kib():
    layout = Layout(parse_windows("1m/5s,15m/1m,1h/5m,24h/1h"), 10)
    assert CLOSED_CELL.itemsize == 32
    assert layout.rings.itemsize == 2016
    assert layout.state.itemsize == 344
