"""What heads and fields of lines say, cached by their bytes.

A client sends the same `measurement,tags` and the same fields again and again. Both caches are
bounded, since clients choose the names: a full one is replaced, and long names are not cached.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.doors.influx import line as lines
from ingest.doors.influx import names
from ingest.doors.influx.line import Head
from ingest.limits import Rules

HEADS_MAX, HEAD_MAX_BYTES = 50_000, 512
SHAPES_MAX, SHAPE_MAX_BYTES = 4_096, 2_048
KNOWN_MAX = 256  # of 51 kB each
_KNOWN_HEADS = HEADS_MAX + 1_024  # every thread may add one to a full cache
_CAPACITY = 256  # of the columns at first


class Heads:
    """Heads by number; their parts are columns, so that those of many lines are one lookup."""

    def __init__(self) -> None:
        self.numbers: dict[bytes, int] = {}
        self.all: list[Head] = []
        self.devices = np.empty(_CAPACITY, object)
        self.partitions = np.empty(_CAPACITY, np.int16)
        self.measurements = np.empty(_CAPACITY, np.int32)  # by number, in order of appearance
        # Metrics → by number of the head, whether these series were counted as new.
        self.known: dict[tuple[str, ...], NDArray[np.bool_]] = {}
        self._measurements: dict[str, int] = {}
        self._lock = threading.Lock()

    def add(self, given: bytes, head: Head) -> None:
        """Cache what a head says."""
        with self._lock:
            number = len(self.all)
            if number == len(self.devices):
                grown = [np.resize(c, 2 * number) for c in self._columns]
                self.devices, self.partitions, self.measurements = grown
            self.devices[number] = head.device
            self.partitions[number] = head.partition
            known = self._measurements
            self.measurements[number] = known.setdefault(head.measurement, len(known))
            self.all.append(head)
            self.numbers[given] = number  # last: other threads look it up

    def are_known(self, metrics: tuple[str, ...], numbers: NDArray[np.intp]) -> bool:
        """Whether the metrics of all these heads were counted as new before."""
        known = self.known.get(metrics)
        return known is not None and bool(known[numbers].all())

    def remember(self, series: Iterable[tuple[tuple[str, ...], NDArray[np.intp]]]) -> None:
        """Remember that these metrics of these heads were."""
        for metrics, numbers in series:
            known = self.known.get(metrics)
            if known is None:
                if len(self.known) >= KNOWN_MAX:
                    self.known.clear()
                known = self.known.setdefault(metrics, np.zeros(_KNOWN_HEADS, np.bool_))
            known[numbers] = True

    @property
    def _columns(self) -> tuple[NDArray[Any], ...]:
        return self.devices, self.partitions, self.measurements


def heads_of(rules: Rules) -> Heads:
    """The cache of a process, which is replaced when it is full."""
    cache: Heads | None = rules.heads
    if cache is None or len(cache.all) >= HEADS_MAX:
        cache = rules.heads = Heads()
    return cache


def head_of(given: bytes, rules: Rules) -> Head:
    """What measurement and tags say.

    Raises:
        ValueError, Refused: they are not valid.
    """
    cache = heads_of(rules)
    number = cache.numbers.get(given)
    if number is not None:
        return cache.all[number]
    head = lines.parse_head(given, rules)
    if len(given) <= HEAD_MAX_BYTES:
        cache.add(given, head)
    return head


def metrics_of(measurement: str, fields: tuple[bytes, ...], rules: Rules) -> tuple[str, ...]:
    """The metrics of the fields of a measurement.

    Raises:
        ValueError, Refused: a name is not valid, or two are the same.
    """
    key = (measurement, fields)
    found = rules.shapes.get(key)
    if found is None:
        found = tuple(names.metric(measurement, lines.decoded(field)) for field in fields)
        twice = next((name for name in found if found.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two fields are the metric {twice}; rename one")
        rules.metrics.check(found)
        if len(measurement) + sum(map(len, fields)) <= SHAPE_MAX_BYTES:
            if len(rules.shapes) >= SHAPES_MAX:
                rules.shapes.clear()
            rules.shapes[key] = found
    return found
