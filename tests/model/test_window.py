"""Windows are written LENGTH/SLOT."""

from __future__ import annotations

import pytest

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
