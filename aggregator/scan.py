"""Readings of one value each, found in packed frames without unpacking them. Pure.

In such a frame, every reading is `[device, recorded_at, {metric: value}]` in the shortest form of
msgpack. Its name is the packed reading without the time and the value: the same bytes for the same
series. Anything else is left to decode.py, which also decides whether it is valid.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from tributary.model.groups import Floats, Ints

_ARRAY, _ARRAY_16, _READING, _MAP_1 = 0x90, 0xDC, 0x93, 0x81
_STRING, _STRING_8, _TIME, _VALUE = 0xA0, 0xD9, 0xCF, 0xCB
_PADDING = bytes(600)  # more than a reading, so that no position is beyond the end
_EIGHT = np.arange(8)
_PER_STEP = 200  # with fewer readings per step, unpacking takes less time
_packed = msgspec.msgpack.Encoder().encode


class Scanned(NamedTuple):
    """Readings in order of arrival, each of one value."""

    names: list[bytes]
    times_ms: Ints  # as they were received
    values: Floats


class _NotPlainError(Exception):
    """A frame holds anything else."""


def name(device: str, metric: str) -> bytes:
    """The name of a series."""
    return b"".join((_packed(device), b"\xcf", bytes(8), b"\x81", _packed(metric)))


def scan(frames: list[bytes]) -> Scanned | None:
    """The readings of frames; None unless all are of one value, and there are enough frames."""
    packed = np.frombuffer(bytearray(b"".join((*frames, _PADDING))), np.uint8)
    ends = np.cumsum(np.fromiter(map(len, frames), np.int64, len(frames)))
    try:
        begins, name_ends, times_at = _positions(packed, ends)
    except _NotPlainError:
        return None
    time_bytes, value_bytes = times_at[:, None] + _EIGHT, name_ends[:, None] + 1 + _EIGHT
    times_ms = packed[time_bytes].view(">i8")[:, 0].astype(np.int64)
    values = packed[value_bytes].view(">f8")[:, 0].astype(np.float64)
    packed[time_bytes] = 0
    named = packed.tobytes()
    names = [named[a:b] for a, b in zip(begins.tolist(), name_ends.tolist(), strict=True)]
    return Scanned(names, times_ms, values)


def _positions(packed: NDArray[np.uint8], ends: Ints) -> tuple[Ints, Ints, Ints]:
    """Where the name of each reading begins and ends, and where its time is.

    All frames are read side by side, one reading of each per step.
    """
    at, counts = _counts(packed, np.concatenate([[0], ends[:-1]]))
    total, steps = int(counts.sum()), int(counts.max())
    if counts.min() == 0 or total < _PER_STEP * steps:
        raise _NotPlainError
    firsts = np.cumsum(counts) - counts
    begins, name_ends, times_at = np.empty((3, total), np.int64)
    for step in range(steps):
        active = np.flatnonzero(counts > step)
        begin = at[active]
        time_at = _after_string(packed, begin + 1)
        map_at = time_at + 9
        end = _after_string(packed, map_at + 1)
        _require(packed[begin] == _READING)
        _require((packed[time_at] == _TIME) & (packed[map_at] == _MAP_1) & (packed[end] == _VALUE))
        number = firsts[active] + step
        begins[number], name_ends[number], times_at[number] = begin + 1, end, time_at + 1
        at[active] = end + 9
        _require(at[active] <= ends[active])
    _require(at == ends)
    return begins, name_ends, times_at


def _counts(packed: NDArray[np.uint8], at: Ints) -> tuple[Ints, Ints]:
    """Where the first reading of each frame is, and how many it has."""
    head = packed[at]
    is_short, is_long = (head & 0xF0) == _ARRAY, head == _ARRAY_16
    _require(is_short | is_long)
    long = packed[at + 1].astype(np.int64) << 8 | packed[at + 2]
    return at + np.where(is_short, 1, 3), np.where(is_short, head & 0x0F, long)


def _after_string(packed: NDArray[np.uint8], at: Ints) -> Ints:
    """The positions behind strings of up to 255 bytes."""
    head = packed[at]
    is_short = (head & 0xE0) == _STRING
    if is_short.all():
        return at + 1 + (head & 0x1F)
    _require(is_short | (head == _STRING_8))
    return at + np.where(is_short, 1 + (head & 0x1F), 2 + packed[at + 1].astype(np.int64))


def _require(is_plain: NDArray[np.bool_]) -> None:
    if not is_plain.all():
        raise _NotPlainError
