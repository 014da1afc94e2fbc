"""The readings of some series of a partition, in order of arrival. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from tributary.errors import BadFrame
from tributary.model import frame
from tributary.operate.audit.recompute import Floats, Ints

_SERIES_VALUES = 16  # whose memory an empty series needs, about
_TIME_END_MS = 253_402_300_800_000  # the year 10000

Name = tuple[str, str]  # device, metric


class TooMany(Exception):
    """More readings than may be held in memory."""


class Series:
    """The readings of one series; `ordinals` are those of their entries."""

    __slots__ = ("ordinals", "times_ms", "values")

    def __init__(self) -> None:
        self.times_ms = array("q")
        self.values = array("d")
        self.ordinals = array("q")

    def extend(self, times_ms: Ints, values: Floats, ordinals: Ints) -> None:
        """Add readings."""
        self.times_ms.frombytes(times_ms.astype(np.int64).tobytes())
        self.values.frombytes(values.astype(np.float64).tobytes())
        self.ordinals.frombytes(ordinals.astype(np.int64).tobytes())

    def until(self, ordinal: int | None = None) -> tuple[Ints, Floats, Ints]:
        """Times, values and ordinals of entries up to one, or of all; sorted by time, stable."""
        times = np.array(self.times_ms, np.int64)
        values, ordinals = np.array(self.values), np.array(self.ordinals, np.int64)
        if ordinal is not None:
            is_in = ordinals <= ordinal
            times, values, ordinals = times[is_in], values[is_in], ordinals[is_in]
        order = np.argsort(times, kind="stable")
        return times[order], values[order], ordinals[order]


class Collection:
    """Readings by series, bounded."""

    def __init__(self, covers: Callable[[Name], bool], values_max: int) -> None:
        """`covers`: whether a series is to be collected."""
        self.devices: dict[str, dict[str, Series]] = {}
        self.values = 0
        self._covers = covers
        self._values_max = values_max
        self._used = 0

    def get(self, name: Name) -> Series:
        """The readings of a series; empty if there are none."""
        found = self.devices.get(name[0], {}).get(name[1])
        return Series() if found is None else found

    def forget(self, device: str) -> None:
        """Drop the readings of a device."""
        self.devices.pop(device, None)

    def add(
        self, blocks: list[frame.RawBlock], ordinal: int, first: int = 0, end: int | None = None
    ) -> None:
        """Add the readings first … end - 1 of an entry.

        Raises:
            TooMany: they exceed the limit; what was added must be dropped.
        """
        for device, metric, times_ms, values in _columns(blocks, first, end):
            if not self._covers((device, metric)):
                continue
            metrics = self.devices.setdefault(device, {})
            series = metrics.get(metric)
            if series is None:
                series = metrics[metric] = Series()
                self._used += _SERIES_VALUES
            series.times_ms.extend(times_ms)
            series.values.extend(values)
            series.ordinals.extend([ordinal] * len(values))
            self.values += len(values)
            self._used += len(values)
        if self._used > self._values_max:
            raise TooMany


def unpack(packed: bytes) -> tuple[list[frame.RawBlock], int]:
    """The blocks of a frame, and its number of readings.

    Raises:
        BadFrame: the frame is one that cannot be applied.
    """
    blocks = frame.unpack(packed)
    try:
        readings = frame.readings_in(blocks)
        columns = list(_columns(blocks, 0, None))
    except (TypeError, ValueError) as error:
        raise BadFrame(f"not the readings of a frame: {error}") from error
    times = [time_ms for _, _, times_ms, _ in columns for time_ms in times_ms]
    values = np.array([value for *_, values in columns for value in values], np.float64)
    if not (times and np.isfinite(values).all() and 0 <= min(times) <= max(times) < _TIME_END_MS):
        raise BadFrame("no readings, or a time or a value out of range")
    return blocks, readings


def _columns(
    blocks: list[frame.RawBlock], first: int, end: int | None
) -> Iterator[tuple[str, str, list[int], list[float]]]:
    """Device, metric, times and values of runs of readings, without those outside first … end."""
    number = 0
    for device, at, metrics in blocks:
        if isinstance(at, int):
            if first <= number and (end is None or number < end):
                for metric, value in metrics.items():
                    yield str(device), metric, [at], [float(value)]
            number += 1
            continue
        times: list[int] = np.frombuffer(at, "<i8").tolist()
        low = max(0, first - number)
        high = len(times) if end is None else min(len(times), end - number)
        for metric, packed in metrics.items():
            values: list[float] = np.frombuffer(packed, "<f8").tolist()  # type: ignore[arg-type]
            if len(values) != len(times):
                raise ValueError("columns of different lengths")
            if low < high:
                yield from _runs(device, metric, times[low:high], values[low:high], low)
        number += len(times)


def _runs(
    device: Any, metric: str, times: list[int], values: list[float], low: int
) -> Iterator[tuple[str, str, list[int], list[float]]]:
    """Split a column of several devices where the device changes."""
    if isinstance(device, str):
        yield device, metric, times, values
        return
    names = device[low : low + len(times)]
    edges = [0, *(n for n in range(1, len(names)) if names[n] != names[n - 1]), len(names)]
    for begin, end in pairwise(edges):
        yield names[begin], metric, times[begin:end], values[begin:end]
