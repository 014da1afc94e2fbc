"""Sliding windows: a length, divided into slots."""

from __future__ import annotations

import re
from typing import NamedTuple

_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd])")


class Window(NamedTuple):
    """A window of `length_ms` in slots of `slot_ms`; `name` is its length as configured."""

    name: str
    length_ms: int
    slot_ms: int

    @property
    def slots(self) -> int:
        """The number of closed slots, in addition to the open one."""
        return self.length_ms // self.slot_ms


def parse_duration_ms(text: str) -> int:
    """`15m` → 900000.

    Raises:
        ValueError: it is not a whole number followed by s, m, h or d.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration like 5s, 15m, 1h or 7d")
    return int(match[1]) * _UNIT_MS[match[2]]


def parse_windows(text: str) -> tuple[Window, ...]:
    """`1m/5s,15m/1m` → windows, shortest first; an empty text means no windows.

    Raises:
        ValueError: a part is malformed, repeated, or its slot does not divide its length.
    """
    windows = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, slash, slot = part.partition("/")
        if not slash:
            raise ValueError(f"{part!r} is not of the form LENGTH/SLOT, like 15m/1m")
        window = Window(name, parse_duration_ms(name), parse_duration_ms(slot))
        if window.length_ms % window.slot_ms or not 1 <= window.slots <= 1440:
            raise ValueError(f"{part!r}: the length must be 1 to 1440 whole slots")
        windows.append(window)
    if len({w.name for w in windows}) != len(windows):
        raise ValueError(f"{text!r} contains a window twice")
    return tuple(sorted(windows, key=lambda w: w.length_ms))
