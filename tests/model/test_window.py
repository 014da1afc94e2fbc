"""Windows are written LENGTH/SLOT; what is packed in their slots is what was computed."""

from __future__ import annotations

import numpy as np
import pytest

from tributary.model.aggregate import CELL, CLOSED_CELL, Layout, closed, opened, relative_m2
from tributary.model.window import parse_duration_ms, parse_windows


def test_windows_are_sorted_by_length():
    assert [(w.name, w.slots) for w in parse_windows("1h/5m, 1m/5s,")] == [("1m", 12), ("1h", 12)]


def test_an_empty_text_means_no_windows():
    assert parse_windows("") == ()


@pytest.mark.parametrize(
    "text",
    [
        "1m",
        "1m/",
        "/5s",
        "1m/7s",
        "5s/1m",
        "0m/5s",
        "1m/0s",
        "1x/1s",
        "1m/5s,1m/1s",
        "1d/1s",
        "-1m/5s",
        "1.5m/5s",
    ],
)
def test_invalid_windows_are_rejected(text: str):
    with pytest.raises(ValueError, match=r".+"):
        parse_windows(text)


@pytest.mark.parametrize(
    ("text", "ms"), [("5s", 5000), ("15m", 900_000), ("24h", 86_400_000), ("7d", 604_800_000)]
)
def test_durations(text: str, ms: int):
    assert parse_duration_ms(text) == ms


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
