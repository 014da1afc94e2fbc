"""The current values of all devices at one moment, to filter and sort the list. Pure.

Devices are numbered in natural order of their names: `car-9` before `car-10`.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from api import collect
from tributary.model.catalogue import Ranges

METRICS_MAX = 200  # in a response; those of most devices
_COVERED_MAX = 32  # patterns of tokens in the cache of a snapshot
_DIGITS = re.compile("[0-9]+")

State = Literal["all", "reporting", "stale", "implausible", "alerting"]
STATES: tuple[State, ...] = get_args(State)
BY_NAME, BY_AGE = "name", "age"
Mask = NDArray[np.bool_]
Numbers = NDArray[np.int64]


class FleetRequest(NamedTuple):
    """What to list, and in which order."""

    search: str  # part of the name, in any case; empty: all
    state: State
    metric: str | None  # sort by its current value
    by: str  # else "name" or "age"
    is_descending: bool
    offset: int
    limit: int


class Selection(NamedTuple):
    """A page of names, and how many devices match."""

    names: list[str]
    matched: int
    counts: dict[State, int]  # of the devices that the search finds
    metrics: list[tuple[str, int]]  # that they have, with numbers of devices


class _Column(NamedTuple):
    """The current values of one metric."""

    devices: Numbers
    values: NDArray[np.float64]


def natural_key(name: str) -> str:
    """A key that sorts numbers in names by value: `car-9` before `car-10`."""
    return _DIGITS.sub(_sized, name.casefold())


def _sized(match: re.Match[str]) -> str:
    digits = match[0].lstrip("0")
    return f"{len(digits):03}{digits}"


class FleetSnapshot:
    """Names, times and current values of devices, in columns."""

    def __init__(
        self,
        stored: Iterable[tuple[str, bytes]],
        ranges: Ranges,
        firing: Collection[str] = frozenset(),
    ) -> None:
        """`stored`: each device and its body for `/collect`; `firing`: those with such an alert."""
        names: list[str] = []
        times = array("q")
        columns: dict[str, tuple[array[int], array[float]]] = {}
        for name, latest in stored:
            times.append(collect.recorded_at_ms(name, latest))
            for metric, value, _ in collect.values_of(latest):
                if value is None:
                    continue
                column = columns.setdefault(metric, (array("q"), array("d")))
                column[0].append(len(names))
                column[1].append(value)
            names.append(name)
        keys = [natural_key(name) for name in names]
        order = sorted(range(len(names)), key=lambda n: (keys[n], names[n]))
        rank = np.empty(len(names), np.int64)
        rank[order] = np.arange(len(names))
        self.names = [names[n] for n in order]
        self._recorded_ms = np.frombuffer(times, np.int64)[order] if names else rank
        self._columns = {
            metric: _Column(rank[np.frombuffer(devices, np.int64)], np.frombuffer(values))
            for metric, (devices, values) in columns.items()
        }
        self._folded = [name.casefold() for name in self.names]
        self._is_implausible = _implausible(len(names), self._columns, ranges)
        self._is_alerting = self._where(self.names, lambda name: name in firing)
        self._covered: dict[str, Mask] = {}

    def select(
        self,
        wanted: FleetRequest,
        now_ms: int,
        stale_after_ms: int,
        covers: tuple[str, Callable[[str], object]] | None = None,
    ) -> Selection:
        """A page of the list. The clocks of devices may be ahead: their age is then 0.

        Args:
            wanted: filters, order and page.
            now_ms: UTC.
            stale_after_ms: age above which a device is stale.
            covers: pattern of a token, and its test of a name; None: every device.
        """
        allowed = self._mask(covers)
        found = allowed & self._matching(wanted.search)
        is_stale = now_ms - self._recorded_ms > stale_after_ms
        of_state: dict[State, Mask] = {
            "all": found,
            "reporting": found & ~is_stale,
            "stale": found & is_stale,
            "implausible": found & self._is_implausible,
            "alerting": found & self._is_alerting,
        }
        matched = np.flatnonzero(of_state[wanted.state])
        page = self._sorted(matched, wanted)[wanted.offset : wanted.offset + wanted.limit]
        return Selection(
            [self.names[n] for n in page.tolist()],
            len(matched),
            {state: int(mask.sum()) for state, mask in of_state.items()},
            self._metrics(found),
        )

    def _mask(self, covers: tuple[str, Callable[[str], object]] | None) -> Mask:
        if covers is None:
            return np.ones(len(self.names), np.bool_)
        pattern, is_covered = covers
        if pattern not in self._covered:
            if len(self._covered) >= _COVERED_MAX:
                self._covered.clear()
            self._covered[pattern] = self._where(self.names, lambda name: bool(is_covered(name)))
        return self._covered[pattern]

    def _matching(self, search: str) -> Mask:
        part = search.casefold()
        return self._where(self._folded, lambda name: part in name)

    def _where(self, names: list[str], test: Callable[[str], bool]) -> Mask:
        return np.fromiter(map(test, names), np.bool_, len(names))

    def _sorted(self, matched: Numbers, wanted: FleetRequest) -> Numbers:
        """In the order requested; devices with the same value, and without one, by name."""
        sign = -1 if wanted.is_descending else 1
        if wanted.metric is not None:
            column = self._columns.get(wanted.metric)
            values = np.full(len(self.names), np.nan)
            if column is not None:
                values[column.devices] = column.values
            return matched[np.argsort(sign * values[matched], kind="stable")]
        if wanted.by == BY_AGE:
            return matched[np.argsort(-sign * self._recorded_ms[matched], kind="stable")]
        return matched[::sign]

    def _metrics(self, found: Mask) -> list[tuple[str, int]]:
        counts = ((name, int(found[each.devices].sum())) for name, each in self._columns.items())
        ordered = sorted((-count, name) for name, count in counts if count)
        return [(name, -count) for count, name in ordered[:METRICS_MAX]]


def _implausible(devices: int, columns: Mapping[str, _Column], ranges: Ranges) -> Mask:
    found = np.zeros(devices, np.bool_)
    for metric, column in columns.items():
        if (limits := ranges.get(metric)) is not None:
            low, high = limits
            found[column.devices[(column.values < low) | (column.values > high)]] = True
    return found
