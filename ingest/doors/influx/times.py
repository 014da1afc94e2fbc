"""Timestamps of the line protocol: integers of the precision that the request names."""

from __future__ import annotations

from typing import NamedTuple

from ingest.limits import Rules
from tributary.errors import Refused
from tributary.model import reading

_MS = {"ns": (1, 1_000_000), "us": (1, 1_000), "ms": (1, 1), "s": (1_000, 1)}
_LONGER_MS = {"m": (60_000, 1), "h": (3_600_000, 1)}
AUTO = "auto"
_SIZES = {"s": 5e9, "ms": 5e12, "us": 5e15}  # those of `reading.time_ms`


class Precision(NamedTuple):
    """One unit of a timestamp is `factor / divisor` ms; `auto`: it follows from the size."""

    name: str
    factor: int
    divisor: int

    def ms(self, timestamp: int) -> int:
        """UTC epoch milliseconds, rounded down."""
        if self.name == AUTO and timestamp >= 0:
            return reading.time_ms(timestamp)
        return timestamp * self.factor // self.divisor

    def of_all(self, earliest: int, latest: int) -> Precision | None:
        """The precision of all timestamps between these; None if `auto` finds several."""
        if self.name != AUTO:
            return self
        first, last = (
            next((name for name, limit in _SIZES.items() if timestamp < limit), "ns")
            for timestamp in (earliest, latest)
        )
        return Precision(first, *_MS[first]) if first == last and earliest >= 0 else None

    def checked_ms(self, timestamp: int, arrived_ms: int, rules: Rules) -> int:
        """UTC epoch milliseconds.

        Raises:
            ValueError: it is in the future, or so early that a clock is not set.
        """
        time_ms = self.ms(timestamp)
        if time_ms > arrived_ms + rules.future_max_ms:
            problem = "in the future"
        elif time_ms < rules.oldest_ms:
            problem = f"before {reading.rfc3339(rules.oldest_ms)}"
        else:
            return time_ms
        raise ValueError(
            f"timestamp {timestamp} in {self.name} is {problem}; "
            f"{self._remedy(timestamp, arrived_ms, rules)}"
        )

    def _remedy(self, timestamp: int, arrived_ms: int, rules: Rules) -> str:
        for name, (factor, divisor) in _MS.items():
            time_ms = timestamp * factor // divisor
            if rules.oldest_ms <= time_ms <= arrived_ms + rules.future_max_ms:
                return f"for a time in {name} send precision={name}"
        return "set the clock of the device, or omit the timestamp"


class Context(NamedTuple):
    """What a line means depends on; `arrived_ms` is the time of lines without a timestamp."""

    precision: Precision
    arrived_ms: int
    rules: Rules


def v1(name: str) -> Precision:
    """The precision of `/write`; ns by default.

    Raises:
        Refused: 400.
    """
    aliases = {"": "ns", "n": "ns", "u": "us"}
    return _precision(name, aliases.get(name, name), {**_MS, **_LONGER_MS})


def v2(name: str) -> Precision:
    """The precision of `/api/v2/write`; ns by default.

    Raises:
        Refused: 400.
    """
    return _precision(name, name or "ns", _MS)


def v3(name: str) -> Precision:
    """The precision of `/api/v3/write_lp`; by the size of the timestamp by default.

    Raises:
        Refused: 400.
    """
    aliases = {
        "nanosecond": "ns", "microsecond": "us", "millisecond": "ms", "second": "s", "": AUTO,
        "n": "ns", "u": "us",
    }  # fmt: skip
    return _precision(name, aliases.get(name, name), {**_MS, AUTO: (1, 1)})


def _precision(given: str, name: str, known: dict[str, tuple[int, int]]) -> Precision:
    if name not in known:
        raise Refused(
            f"invalid precision {given!r:.20}; use {', '.join(known)}",
            status=400,
            code="invalid_precision",
            field="precision",
        )
    return Precision(name, *known[name])
