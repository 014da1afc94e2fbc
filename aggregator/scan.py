"""Readings of one value each, found in packed frames without unpacking them. Pure.

In such a frame, every reading is `[device, recorded_at, {metric: value}]` in the shortest form of
msgpack. Its name is the packed reading without the time and the value: the same bytes for the same
series. Anything else but a seal is left to decode.py, which also decides whether it is valid.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from tributary.model.frame import SEAL_BYTES
from tributary.model.groups import Floats, Ints

_ARRAY, _ARRAY_16, _READING, _MAP_1 = 0x90, 0xDC, 0x93, 0x81
_STRING, _STRING_8, _TIME, _VALUE = 0xA0, 0xD9, 0xCF, 0xCB
_STRING_MAX = 31  # bytes, if the length is part of the first byte
_PER_STEP = 48  # with fewer readings per step, unpacking takes less time
_packed = msgspec.msgpack.Encoder().encode

# By first byte of a string its size with that byte; -1: the length is the second byte.
_SIZES = np.ones(256, np.int64)  # of anything else, which is found out in the end
_SIZES[_STRING : _STRING + _STRING_MAX + 1] = np.arange(1, _STRING_MAX + 2)
_SIZES[_STRING_8] = -1
_IS_STRING = (_SIZES != 1) | (np.arange(256) == _STRING)

Bytes = NDArray[np.uint8]


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


def scan(frames: list[bytes], *, is_sealed: bool) -> Scanned | None:
    """The readings of frames; None unless all are of one value, and there are enough frames.

    `is_sealed`: whether every frame has a valid seal; otherwise none has one.
    """
    if len(frames) < _PER_STEP:
        return None
    joined = bytearray(b"".join(frames))
    ends = np.cumsum(np.fromiter(map(len, frames), np.int64, len(frames)))
    try:
        begins, name_ends, times_at = _positions(
            np.frombuffer(joined, np.uint8), ends, is_sealed=is_sealed
        )
    except _NotPlainError:
        return None
    integers, doubles = _at_any(joined, ">i8"), _at_any(joined, ">f8")
    times_ms = integers[times_at].astype(np.int64)
    values = doubles[name_ends + 1].astype(np.float64)
    integers[times_at] = 0
    named = bytes(joined)
    names = [named[a:b] for a, b in zip(begins.tolist(), name_ends.tolist(), strict=True)]
    return Scanned(names, times_ms, values)


def _at_any(joined: bytearray, number: str) -> NDArray[Any]:
    """The numbers of 8 bytes that begin at each position."""
    return np.ndarray((len(joined) - 7,), number, joined, strides=(1,))


def _positions(packed: Bytes, ends: Ints, *, is_sealed: bool) -> tuple[Ints, Ints, Ints]:
    """Where the name of each reading begins and ends, and where its time is.

    All frames are read side by side, one reading of each per step, and checked in the end.
    """
    at, counts = _counts(packed, np.concatenate([[0], ends[:-1]]))
    if is_sealed:
        counts, ends = counts - 1, ends - SEAL_BYTES
    frames, steps = len(counts), int(counts.max())
    if counts.min() == 0 or counts.sum() < _PER_STEP * steps:
        raise _NotPlainError
    positions = np.empty((3, steps, frames), np.int64)
    for step in range(steps):
        time_at = at + 1 + _size(packed, at + 1)
        name_end = time_at + 10 + _size(packed, time_at + 10)
        positions[0, step], positions[1, step], positions[2, step] = at, time_at, name_end
        at = name_end + 9
    _require(positions[2, counts - 1, np.arange(frames)] + 9 == ends)
    is_reading = (np.arange(steps) < counts[:, None]) if steps > 1 else np.ones((frames, 1), bool)
    begins, times_at, name_ends = (each.T[is_reading] for each in positions)
    _require(packed[begins] == _READING)
    _require(_IS_STRING[packed[begins + 1]] & _IS_STRING[packed[times_at + 10]])
    _require((packed[times_at] == _TIME) & (packed[times_at + 9] == _MAP_1))
    _require(packed[name_ends] == _VALUE)
    return begins + 1, name_ends, times_at + 1


def _counts(packed: Bytes, at: Ints) -> tuple[Ints, Ints]:
    """Where the first reading of each frame is, and how many it has."""
    head = packed.take(at, mode="clip")
    is_short = (head & 0xF0) == _ARRAY
    if is_short.all():
        return at + 1, (head & 0x0F).astype(np.int64)
    _require(is_short | (head == _ARRAY_16))
    high, low = (packed.take(at + n, mode="clip").astype(np.int64) for n in (1, 2))
    return at + np.where(is_short, 1, 3), np.where(is_short, head & 0x0F, high << 8 | low)


def _size(packed: Bytes, at: Ints) -> Ints:
    """The sizes of the strings at positions, which may lie beyond the end."""
    sizes = _SIZES.take(packed.take(at, mode="clip"))
    if sizes.min() < 0:
        return np.where(sizes < 0, 2 + packed.take(at + 1, mode="clip").astype(np.int64), sizes)
    return sizes


def _require(is_plain: NDArray[np.bool_]) -> None:
    if not is_plain.all():
        raise _NotPlainError
