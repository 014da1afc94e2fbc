"""A ledger of what senders sent and the responses they got, to be compared with Redis.

A sender records each request before it sends it, and its outcome afterwards. Finally every
reading has one of four outcomes: `ok` (200), `dup` (200, a duplicate), `refused` (a 4xx or 503,
not stored) or `maybe` (no response, or an internal error). The value of a reading is its sequence
number, so the stream shows which readings were stored, and count, sum and sum of squares of the
aggregates show whether each was counted once.

The stream must be long enough for everything that was sent.
"""

from __future__ import annotations

import json
import math
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import redis

from support import folding
from tributary.errors import BadFrame
from tributary.model import frame
from tributary.model.aggregate import Layout
from tributary.model.clock import utc_ms
from tributary.settings import Settings
from tributary.store import keys

METRIC = "seq"
_PAGE = 1000


class Sent(NamedTuple):
    """One request: consecutive readings of one device."""

    device: str
    first: int
    last: int

    @property
    def numbers(self) -> range:
        return range(self.first, self.last + 1)


class Ledger:
    """A file of requests and outcomes, shared by many senders."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] = path.open("a", buffering=1)
        self._lock = threading.Lock()
        self._requests = 0
        self.counts: Counter[str] = Counter()  # readings by outcome
        self.responses: Counter[str] = Counter()  # attempts by status, or by exception

    @property
    def acknowledged(self) -> int:
        """Readings that got a 200 so far."""
        return self.counts["ok"] + self.counts["dup"]

    def intend(self, sent: Sent) -> int:
        """Record a request before it is sent; its number."""
        with self._lock:
            self._requests += 1
            self._file.write(json.dumps([self._requests, "sent", *sent]) + "\n")
            return self._requests

    def settle(self, request: int, sent: Sent, outcome: str) -> None:
        """Record the outcome of a request: ok, dup, refused or maybe."""
        with self._lock:
            self.counts[outcome] += len(sent.numbers)
            now_ms = utc_ms()
            self._file.write(json.dumps([request, outcome, now_ms]) + "\n")

    def close(self) -> None:
        self._file.close()

    def accepted(self) -> Iterator[tuple[int, str]]:
        """When each accepted request got its 200, in ms since the epoch, and its device."""
        device: dict[int, str] = {}
        for line in self.path.read_text().splitlines():
            number, what, *rest = json.loads(line)
            if what == "sent":
                device[number] = rest[0]
            elif what in ("ok", "dup"):
                yield rest[0], device[number]

    def outcomes(self) -> Iterator[tuple[Sent, str]]:
        """Each request with its outcome, which is maybe if none was recorded."""
        sent: dict[int, Sent] = {}
        outcome: dict[int, str] = {}
        for line in self.path.read_text().splitlines():
            number, what, *rest = json.loads(line)
            if what == "sent":
                sent[number] = Sent(*rest)
            else:
                outcome[number] = what  # the time is for people who read the file
        for number, request in sent.items():
            yield request, outcome.get(number, "maybe")


class Verdict(NamedTuple):
    """Counts of readings, named as in Jepsen."""

    acknowledged: int
    lost: int  # acknowledged, but not stored
    duplicated: int  # stored more than once
    recovered: int  # no response, but stored
    indeterminate: int  # no response, and not stored
    refused: int
    unexpected: int  # refused, but stored
    stored: int
    miscounted: list[str]  # series whose aggregates differ from what is stored
    uncounted: int  # stored, but missing from the aggregates
    overcounted: int  # in the aggregates more often than stored

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.duplicated or self.unexpected or self.miscounted)


def verify(ledger: Ledger, client: redis.Redis, settings: Settings) -> Verdict:
    """Compare the ledger with the streams, and the streams with the aggregates."""
    held = {device: Counter(values) for device, values in stored(client, settings).items()}
    outcomes: dict[str, dict[str, set[int]]] = {}
    for sent, outcome in ledger.outcomes():
        outcomes.setdefault(outcome, {}).setdefault(sent.device, set()).update(sent.numbers)
    acknowledged = _pairs(outcomes.get("ok", {})) | _pairs(outcomes.get("dup", {}))
    maybe = _pairs(outcomes.get("maybe", {})) - acknowledged
    refused = _pairs(outcomes.get("refused", {})) - acknowledged - maybe
    there = {(device, int(value)) for device, values in held.items() for value in values}
    differences = miscounted(client, settings, held)
    return Verdict(
        acknowledged=len(acknowledged),
        lost=len(acknowledged - there),
        duplicated=sum(n - 1 for values in held.values() for n in values.values()),
        recovered=len(maybe & there),
        indeterminate=len(maybe - there),
        refused=len(refused),
        unexpected=len(there - acknowledged - maybe),
        stored=len(there),
        miscounted=[text for text, _ in differences],
        uncounted=sum(max(0, -excess) for _, excess in differences),
        overcounted=sum(max(0, excess) for _, excess in differences),
    )


def _pairs(numbers: dict[str, set[int]]) -> set[tuple[str, int]]:
    return {(device, number) for device, group in numbers.items() for number in group}


def stored(client: redis.Redis, settings: Settings) -> dict[str, list[float]]:
    """Every value of the ledger in the streams, by device."""
    values: dict[str, list[float]] = {}
    for partition in range(settings.partitions):
        start = "-"
        while page := client.xrange(keys.readings(partition), start, "+", _PAGE):
            start = b"(" + page[-1][0]
            for _, fields in page:
                for device, packed_times, metrics in _unpacked(fields):
                    if METRIC in metrics:  # others are of other senders
                        _add(values, device, packed_times, metrics[METRIC])
    return values


def stored_metrics(client: redis.Redis, settings: Settings, *, every: bool = False) -> Any:
    """Device → metric → newest value in the streams, or with `every` all of them."""
    found: dict[str, dict[str, Any]] = {}
    for partition in range(settings.partitions):
        for _, fields in client.xrange(keys.readings(partition)):
            for device, times, metrics in _unpacked(fields):
                for metric, numbers in metrics.items():
                    values: dict[str, list[float]] = {}
                    _add(values, device, times, numbers)
                    for name, several in values.items():
                        held = found.setdefault(name, {})
                        held[metric] = [*held.get(metric, []), *several] if every else several[-1]
    return found


def _unpacked(fields: dict[bytes, bytes]) -> list[Any]:
    """The blocks of an entry; none for one that a test has corrupted."""
    try:
        return frame.unpack(fields[b"r"])
    except (BadFrame, LookupError):
        return []


def _add(
    values: dict[str, list[float]],
    device: str | list[str],
    times: int | bytes,
    numbers: float | bytes,
) -> None:
    if isinstance(times, int) or isinstance(numbers, float):
        values.setdefault(str(device), []).append(numbers)  # type: ignore[arg-type]
        return
    column = np.frombuffer(numbers, "<f8").tolist()
    names = [device] * len(column) if isinstance(device, str) else device
    for name, number in zip(names, column, strict=True):
        values.setdefault(name, []).append(number)


def miscounted(
    client: redis.Redis, settings: Settings, held: dict[str, Counter[float]]
) -> list[tuple[str, int]]:
    """Series whose count differs from what is stored, with the excess of readings."""
    layout = Layout(settings.parsed_windows, settings.average_over)
    differences = []
    for device, values in held.items():
        partition = keys.partition_of(device, settings.partitions)
        packed = folding.packed(client, settings, partition, [(device, METRIC)])[0].state
        numbers = list(values.elements())
        if packed is None:
            differences.append((f"{device}: {len(numbers)} stored, none counted", -len(numbers)))
            continue
        state = np.frombuffer(packed, layout.state)[0]
        if not _agrees(state, numbers):
            counted, meta = int(state["count"]), client.hgetall(keys.meta(partition))
            text = f"{device}: {len(numbers)} stored, {counted} counted; {meta}"
            differences.append((text, counted - len(numbers)))
    return differences


def _agrees(state: np.void, numbers: list[float]) -> bool:
    """Whether count, sum and sum of squares are those of the numbers."""
    count = len(numbers)
    mean = math.fsum(numbers) / count
    m2 = math.fsum((number - mean) ** 2 for number in numbers)
    return bool(
        state["count"] == count
        # A different number would change the sum by at least 1.
        and abs(state["mean"] - mean) * count < 0.25
        and math.isclose(state["m2"], m2, rel_tol=1e-9, abs_tol=0.25)
    )
