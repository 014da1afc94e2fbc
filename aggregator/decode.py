"""Entries → columns of readings, for the fold. Pure.

Fast code: most frames hold plain readings, and for those every step over readings runs in C
(msgspec, map, itertools, numpy).
"""

from __future__ import annotations

from itertools import chain, groupby, repeat
from operator import itemgetter
from typing import NamedTuple, Protocol

import numpy as np

from tributary.errors import BadFrame
from tributary.model import frame
from tributary.model.frame import RawBlock
from tributary.model.groups import Floats, Ints

Entry = tuple[bytes, list[bytes]]  # id, and fields and values as they are in the stream
# Positions of the frame and of its name among the fields: e, number, n, number, r, frame.
_NAME, _FRAME = 4, 5
_NONE: Ints = np.empty(0, np.int64)
_TIME_MAX_MS = 253_402_300_800_000  # the year 10000, beyond RFC 3339


class Columns(NamedTuple):
    """Readings of one partition, in order of arrival.

    `series[i]` occurs `repeats[i]` times in a row in the other columns.
    """

    series: list[tuple[str, str]]
    repeats: Ints
    times_ms: Ints
    values: Floats
    reading: Ints  # number of the reading each value belongs to
    readings: int
    rows: Ints | None = None  # of the table, by value; then `series` and `repeats` are empty


class Scan(Protocol):
    """Finds the readings of known series in frames that are all sealed, or all not."""

    def __call__(self, frames: list[bytes], *, is_sealed: bool) -> Columns | None:
        """None if the frames must be decoded."""


def decode(entries: list[Entry], scan: Scan | None = None) -> Columns:
    """The readings of entries as columns, decoded in one call.

    `scan`: the readings of frames of known series, or None if they must be decoded.

    Raises:
        BadFrame: a frame is not valid.
        LookupError, TypeError: an entry has other fields than append writes.
    """
    fields = [fields for _, fields in entries]
    frames = list(map(itemgetter(_FRAME), fields))
    if set(map(itemgetter(_NAME), fields)) != {frame.FIELD}:
        raise BadFrame("an entry is not a frame of this version")
    is_sealed = frame.are_sealed(frames)  # None: of ingest of two releases, or one is damaged
    if scan is not None and is_sealed is not None:
        found = scan(frames, is_sealed=is_sealed)
        if found is not None:
            return found
    return columns(frame.unpack_all(frames, is_sealed=is_sealed))


def unpack(entry: Entry) -> tuple[list[RawBlock], int]:
    """The blocks of one entry, and how many readings they hold.

    Raises:
        BadFrame: its frame is not valid, or of another version.
    """
    frame.require_known(entry[1][_NAME])
    blocks = frame.unpack(entry[1][_FRAME])
    return blocks, columns(blocks).readings


def columns(blocks: list[RawBlock]) -> Columns:
    """The readings of blocks as columns.

    Raises:
        BadFrame: a block contradicts itself, or holds an invalid time or number.
    """
    try:
        parts = _parts(blocks)
        part = parts[0] if len(parts) == 1 else _joined(parts)
    except (ValueError, TypeError, OverflowError) as error:
        raise BadFrame(f"not the readings of a frame: {error}") from error
    _check(part)
    return part


def once(times_ms: Ints, values: Floats, rows: Ints) -> Columns:
    """Readings of one value each of known series.

    Raises:
        BadFrame: a time or a number is not valid.
    """
    count = len(values)
    part = Columns([], _NONE, times_ms, values, np.arange(count), count, rows)
    _check(part)
    return part


def _check(part: Columns) -> None:
    if len(part.values) == 0:
        raise BadFrame("the frame contains no readings")
    if not np.isfinite(part.values).all():
        raise BadFrame("a value is not finite")
    if not 0 <= part.times_ms.min() <= part.times_ms.max() < _TIME_MAX_MS:
        raise BadFrame("a time is out of range")


def _parts(blocks: list[RawBlock]) -> list[Columns]:
    types = set(map(type, map(itemgetter(1), blocks)))
    if types == {int}:
        return [_plain(blocks)]
    parts: list[Columns] = []
    for kind, group in groupby(blocks, _kind):
        run = list(group)
        if kind is None:
            parts.append(_plain(run))
        elif kind is True:
            parts += map(_column, run)
        else:
            parts.append(_column(run[0] if len(run) == 1 else _one_block(run)))
    return parts


def _kind(block: RawBlock) -> tuple[str, ...] | bool | None:
    """None: a reading; True: a column of one device; else a column of several: its metrics."""
    if type(block[1]) is int:
        return None
    return type(block[0]) is str or tuple(block[2])


def _one_block(blocks: list[RawBlock]) -> RawBlock:
    """Join columns of the same metrics, each of several devices: small ones cost as much as large."""
    devices, packed_times, metrics = zip(*blocks, strict=True)
    columns = [packed_times, *zip(*map(dict.values, metrics), strict=True)]
    sizes = [8 * len(device) for device in devices]
    if any(list(map(len, column)) != sizes for column in columns):
        raise ValueError("columns of different lengths")
    times, *values = map(b"".join, columns)
    return list(chain.from_iterable(devices)), times, dict(zip(metrics[0], values, strict=True))


def _plain(blocks: list[RawBlock]) -> Columns:
    devices, times_ms, metrics = zip(*blocks, strict=True)
    names = list(chain.from_iterable(metrics))
    values = np.array(list(chain.from_iterable(map(dict.values, metrics))), np.float64)
    times = np.array(times_ms, np.int64)
    reading = np.arange(len(blocks))
    if len(names) != len(blocks) or not all(metrics):
        counts = list(map(len, metrics))
        devices = tuple(chain.from_iterable(map(repeat, devices, counts)))
        times, reading = np.repeat(times, counts), np.repeat(reading, counts)
    series = list(zip(devices, names, strict=True))
    return Columns(series, np.ones(len(series), np.int64), times, values, reading, len(blocks))


def _column(block: RawBlock) -> Columns:
    device, packed_times, metrics = block
    times = np.frombuffer(packed_times, "<i8")  # type: ignore[arg-type]
    values = [np.frombuffer(packed, "<f8") for packed in metrics.values()]  # type: ignore[arg-type]
    if any(len(v) != len(times) for v in values) or not values:
        raise ValueError("columns of different lengths")
    if isinstance(device, str):
        series = [(device, metric) for metric in metrics]
        repeats = np.full(len(series), len(times))
    else:
        series = list(chain.from_iterable(zip(device, repeat(metric)) for metric in metrics))
        repeats = np.ones(len(series), np.int64)
        if len(device) != len(times):
            raise ValueError("devices and times differ in number")
    if len(times) == 0:  # nothing to look up
        series, repeats = [], repeats[:0]
    reading = np.tile(np.arange(len(times)), len(metrics))
    return Columns(
        series, repeats, np.tile(times, len(metrics)), np.concatenate(values), reading, len(times)
    )


def _joined(parts: list[Columns]) -> Columns:
    series, repeats, times, values, reading, readings, _ = zip(*parts, strict=True)
    first = np.cumsum([0, *readings])
    return Columns(
        list(chain.from_iterable(series)),
        np.concatenate(repeats),
        np.concatenate(times),
        np.concatenate(values),
        np.concatenate([r + f for r, f in zip(reading, first[:-1], strict=True)]),
        int(first[-1]),
    )
