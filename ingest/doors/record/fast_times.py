"""The times of bodies that are certainly valid, for `fast`: alone, or a column at once."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ingest.doors.record import json_text
from ingest.limits import Rules
from tributary.model import reading

Int64s = NDArray[np.int64]
_Doubles = NDArray[np.float64]
# Where the unit of a time changes; above the last one, doubles skip whole numbers.
_SECONDS, _MILLISECONDS, _NANOSECONDS = 5e9, 5e12, 5e15


class Uncertain(Exception):
    """The body may be invalid."""


class _ExactTime(msgspec.Struct):
    """`recorded_at`, decoded without converting it to a float."""

    recorded_at: int | float | str | list[int | float | str]


_decode_exact_time = msgspec.json.Decoder(_ExactTime).decode


def time_ms(given: Any, body: bytes, arrived_ms: int, rules: Rules) -> int:
    """`reading.time_ms` of a time that was decoded as a float or as text."""
    if type(given) is float and given >= _NANOSECONDS:
        given = _decode_exact_time(body).recorded_at
    time_ms = reading.time_ms(given)
    if type(given) is float and given <= _SECONDS:
        _check_digits(body, is_on_ms=given == time_ms / 1000)
    if not rules.oldest_ms <= time_ms <= arrived_ms + rules.future_max_ms:
        raise Uncertain
    return time_ms


def _check_digits(body: bytes, *, is_on_ms: bool) -> None:
    """Raise if conversion to a double may have rounded seconds up to a millisecond.

    That takes seven digits in a fraction (a double below 5e9 represents six), or an exponent.
    """
    if is_on_ms and json_text.HAS_MANY_DIGITS(body) is not None:
        raise Uncertain


def float_times_ms(times: list[Any], body: bytes, arrived_ms: int, rules: Rules) -> Int64s:
    """Times decoded as floats; those that a float cannot represent are decoded again."""
    given = None if type(times[0]) is str else np.frombuffer(pack_doubles(times))
    if given is None or given.max() >= _NANOSECONDS:
        exact: Any = _decode_exact_time(body).recorded_at
        return times_ms(exact, body, arrived_ms, rules)
    return _scaled(given, body, rules.oldest_ms, arrived_ms + rules.future_max_ms)


def times_ms(given: list[Any], body: bytes, arrived_ms: int, rules: Rules) -> Int64s:
    """`reading.time_ms` of a whole column."""
    latest_ms = arrived_ms + rules.future_max_ms
    if type(given[0]) is str:
        times_ms = np.array(reading.texts_ms(given, rules.oldest_ms))
        if times_ms.max() > latest_ms:
            raise Uncertain
        return times_ms
    try:
        times = np.frombuffer(struct.pack(f"{len(given)}q", *given), np.int64)
    except struct.error:
        times = np.array(given)
    if times.dtype.kind == "i" or (times.dtype.kind == "f" and times.max() < _NANOSECONDS):
        return _scaled(times, body, rules.oldest_ms, latest_ms)
    if any(type(time) is float and time <= _SECONDS for time in given):
        _check_digits(body, is_on_ms=True)
    found = np.array([reading.time_ms(time) for time in given], np.int64)
    return _checked(found, rules.oldest_ms, latest_ms)


def _scaled(times: Int64s | _Doubles, body: bytes, oldest_ms: int, latest_ms: int) -> Int64s:
    """Convert numbers to milliseconds by their size; floats must be exact."""
    first = times.min()
    if first > max(_SECONDS, oldest_ms - 1) and times.max() <= min(
        latest_ms, _MILLISECONDS - 1
    ):  # fast code: milliseconds
        return times.astype(np.int64)
    if first < 0:
        raise Uncertain
    seconds: Int64s | _Doubles = times * 1000
    millis, micros = times, times // 1000
    if times.dtype.kind == "f":
        seconds, millis, micros = _truncated(times), np.floor(times), np.floor(times) // 1000
        is_on_ms = (times <= _SECONDS) & (seconds / 1000 == times)
        _check_digits(body, is_on_ms=bool(is_on_ms.any()))
    units = [times < _SECONDS, times < _MILLISECONDS, times < _NANOSECONDS]
    scaled: Int64s = np.select(units, [seconds, millis, micros], times // 1_000_000)
    return _checked(scaled.astype(np.int64), oldest_ms, latest_ms)


def _truncated(seconds: Int64s | _Doubles) -> _Doubles:
    """Seconds in whole milliseconds, truncated like `reading.time_ms`."""
    ms: _Doubles = np.floor(seconds * 1000)
    ms += (ms + 1) / 1000 <= seconds
    ms -= ms / 1000 > seconds
    return ms


def _checked(times_ms: Int64s, oldest_ms: int, latest_ms: int) -> Int64s:
    if times_ms.min() < oldest_ms or times_ms.max() > latest_ms:
        raise Uncertain
    return times_ms


def pack_doubles(column: list[Any]) -> bytes:
    """Pack a column; struct takes a third of the time of array or numpy."""
    try:
        return struct.pack(f"{len(column)}d", *column)
    except struct.error:
        raise Uncertain from None
