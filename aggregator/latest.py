"""The document of a device that `/collect` returns: current value and average of each metric.

The numbers of all documents that a batch changes are formatted by one call. The document of a
device with one metric, the most frequent kind, is made of them and of its constant head alone.
Of another one, the pieces of its JSON are kept, and those of the values that changed are replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, chain, compress, pairwise, repeat
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
import numpy as np

from aggregator.sums import exact_sums
from tributary.model import reading
from tributary.model.aggregate import Records, mean
from tributary.model.groups import Ints

encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, str | float]).decode
_HEAD = b'{"device":"', b'","recorded_at":"'
_DEVICE = slice(len(_HEAD[0]), -len(_HEAD[1]))  # of a head
_SECOND, _MS = 1, 2  # pieces with the time of the newest reading: up to the second, and the rest
_SECOND_LENGTH = len("2026-11-22T10:00:00")
_MS_TEXTS = [b'.%03dZ"' % ms for ms in range(1000)]
_METRICS_MAX = 4_096  # whose keys are shared by the documents
_SECONDS_MAX = 8_192


class Metric(NamedTuple):
    """The keys of the values of a metric, with comma and colon as in the JSON."""

    current: bytes
    average: bytes


@lru_cache(_METRICS_MAX)
def metric(name: str) -> Metric:
    """The keys of the metric of this name."""
    return Metric(_key("current_" + name), _key("average_" + name))


def _key(name: str) -> bytes:
    return b",%b:" % encode(name)


class Numbers(NamedTuple):
    """Of the pieces of a document with the values of a metric."""

    current: int
    average: int


class Document:
    """The response for one device without age and stale flag, as pieces of JSON."""

    __slots__ = ("_numbers", "device", "newest_ms", "pieces", "rows")

    def __init__(self, device: str, text: bytes | None = None) -> None:
        """`text`: as it is stored; None: the device is new."""
        self.device = device.encode()
        self.rows = 0  # of the table that belong to it
        self.newest_ms = -1  # UTC epoch
        # The head, two pieces of the time, a key and a value each, and the last bracket.
        self.pieces = [encode(device)[1:-1].join(_HEAD), b"", b'"', b"}"]
        self._numbers: dict[bytes, int] = {}  # of the pieces with values, by key
        if text is None:
            return
        body = _decode(text)
        recorded_at = str(body["recorded_at"])
        self.newest_ms, time = reading.time_ms(recorded_at), encode(recorded_at)[1:]
        self.pieces[_SECOND], self.pieces[_MS] = time[:_SECOND_LENGTH], time[_SECOND_LENGTH:]
        for name, value in body.items():
            if name not in ("device", "recorded_at"):
                self.pieces[self._number(_key(name))] = encode(value)

    def head(self, only: Metric) -> bytes | None:
        """The JSON up to the time, if only the values of this metric follow it."""
        head = self.pieces[0]
        if len(self._numbers) > len(only) or head[_DEVICE] != self.device:  # it has escapes
            return None
        return head if list(self._numbers) == list(only) else None

    def add(self, added: Metric) -> Numbers:
        """Add a row, and its metric unless it is there."""
        self.rows += 1
        return Numbers(self._number(added.current), self._number(added.average))

    def _number(self, key: bytes) -> int:
        """Number of the piece with the value behind a key, which is added if there is none."""
        if key not in self._numbers:
            self._numbers[key] = len(self.pieces)
            self.pieces[-1:] = [key, b"null", b"}"]
        return self._numbers[key]


Label = Metric | Numbers
Place = bytes | Document  # where the values of a series are; bytes: the head, for one metric


class Values(NamedTuple):
    """What a batch writes into documents, by series."""

    labels: Sequence[Any]  # a metric in a document of which there is the head; else numbers
    currents: Sequence[bytes]
    averages: Sequence[bytes]
    seconds: Sequence[bytes]
    ms: Sequence[bytes]
    newest_ms: Sequence[int]

    @classmethod
    def of(cls, labels: Sequence[Label], part: Records) -> Values:
        """The values of the states of some series."""
        times_ms, count = part["times_ms"][:, -1], len(part)
        numbers = encode(part["values"][:, -1].tolist() + averages(part))[1:-1].split(b",")
        seconds, ms = _times(times_ms)
        return cls(labels, numbers[:count], numbers[count:], seconds, ms, times_ms.tolist())

    def cut(self, part: slice) -> Values:
        """Of neighbouring series."""
        labels, currents, averages, seconds, ms, newest_ms = self
        times = seconds[part], ms[part], newest_ms[part]
        return Values(labels[part], currents[part], averages[part], *times)

    def at(self, chosen: Sequence[bool]) -> Values:
        """Of some of the series."""
        return Values(
            list(compress(self.labels, chosen)),
            list(compress(self.currents, chosen)),
            list(compress(self.averages, chosen)),
            list(compress(self.seconds, chosen)),
            list(compress(self.ms, chosen)),
            list(compress(self.newest_ms, chosen)),
        )


def averages(part: Records) -> list[float]:
    """Mean of the newest readings of each series, equal to `aggregate.mean`."""
    kept = part["values"].shape[1]
    counts = np.minimum(part["count"], kept)
    try:
        rounded = exact_sums(part["values"]) / counts  # unused places are 0.0
        means: list[float] = np.minimum(np.maximum(rounded, part["min"]), part["max"]).tolist()
    except OverflowError:
        rows: list[list[float]] = part["values"].tolist()
        return [mean(row[-n:]) for row, n in zip(rows, counts.tolist(), strict=True)]
    return means


def update(
    places: Sequence[Place], labels: Sequence[Label], part: Records, sizes: Sequence[int]
) -> list[list[bytes]]:
    """Write current and average of each series of `part` into the document of its device.

    `sizes`: how many of the series are of each partition; none has a device of another one.
    Returns by partition device and JSON of each document that changed, alternating.
    """
    values = Values.of(labels, part)
    if len(sizes) == 1:
        return [_update(places, values)]
    parts = [slice(*each) for each in pairwise(accumulate(sizes, initial=0))]
    return [_update(places[part], values.cut(part)) for part in parts]


def _update(places: Sequence[Place], values: Values) -> list[bytes]:
    heads = [place for place in places if type(place) is bytes]
    if len(heads) == len(places):
        return _joined(heads, values)
    is_head = [type(place) is bytes for place in places]
    is_other = [not each for each in is_head]
    others = [place for place in places if type(place) is Document]
    return _joined(heads, values.at(is_head)) + _written(others, values.at(is_other))


def _joined(heads: list[bytes], values: Values) -> list[bytes]:
    """The documents of devices with one metric."""
    currents = map(itemgetter(0), values.labels), values.currents
    means = map(itemgetter(1), values.labels), values.averages
    pieces = zip(heads, values.seconds, values.ms, *currents, *means, repeat(b"}"))
    devices = [head[_DEVICE] for head in heads]
    return list(chain.from_iterable(zip(devices, map(b"".join, pieces), strict=True)))


def _written(documents: list[Document], values: Values) -> list[bytes]:
    """The documents of devices with several metrics."""
    for document, (at, average_at), current, average, second, ms, time_ms in zip(
        documents, *values, strict=True
    ):
        pieces = document.pieces
        pieces[at], pieces[average_at] = current, average
        if time_ms >= document.newest_ms:
            document.newest_ms, pieces[_SECOND], pieces[_MS] = time_ms, second, ms
    distinct = dict.fromkeys(documents)
    return list(chain.from_iterable((d.device, b"".join(d.pieces)) for d in distinct))


def _times(times_ms: Ints) -> tuple[list[bytes], list[bytes]]:
    """RFC 3339 in two parts, up to the second and behind it."""
    seconds, ms = np.divmod(times_ms, 1000)
    numbers: list[int] = seconds.tolist()
    return [_second(number) for number in numbers], [_MS_TEXTS[each] for each in ms.tolist()]


@lru_cache(_SECONDS_MAX)
def _second(number: int) -> bytes:
    """RFC 3339 of a second since 1970; readings that are applied together have few of them."""
    return str(np.datetime64(number, "s")).encode()
