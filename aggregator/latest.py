"""The document of a device that `/collect` returns: current value and average of each metric.

A document is kept as the pieces of its JSON. An update replaces the pieces of the values that
changed, and the numbers of all documents are formatted by one call.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import numpy as np

from aggregator.sums import exact_sums
from tributary.model import reading
from tributary.model.aggregate import Records, mean
from tributary.model.groups import Ints

encode = msgspec.json.Encoder().encode
_SECOND, _MS = 1, 2  # pieces with the time of the newest reading
_MS_TEXTS = [b'.%03dZ"' % ms for ms in range(1000)]


class Document:
    """The response for one device without age and stale flag."""

    __slots__ = ("_names", "device", "is_new", "newest_ms", "pieces")

    def __init__(self, device: str, newest_ms: int = -1, *, is_new: bool = True) -> None:
        self.device = device
        self.newest_ms = newest_ms  # UTC epoch
        self.is_new = is_new
        self.pieces = [b'{"device":%b,"recorded_at":"' % encode(device), b"", b'"', b"}"]
        self._names: dict[str, int] = {}  # number of the piece with the value of a name

    @classmethod
    def parse(cls, device: str, text: bytes | None) -> Document:
        """Parse the stored document of a device, or create an empty one."""
        if text is None:
            return cls(device)
        body = msgspec.json.decode(text, type=dict[str, str | float])
        document = cls(device, reading.time_ms(str(body["recorded_at"])), is_new=False)
        for name, value in body.items():
            if name not in ("device", "recorded_at"):
                document.pieces[document._piece(name)] = encode(value)
        return document

    def place(self, metric: str) -> Place:
        """Where current and average of a metric are."""
        return Place(self, self._piece("current_" + metric), self._piece("average_" + metric))

    def _piece(self, name: str) -> int:
        """Number of the piece with the value of a name, which is added if there is none."""
        if name not in self._names:
            self._names[name] = len(self.pieces)
            self.pieces[-1:] = [b",%b:" % encode(name), b"null", b"}"]
        return self._names[name]


class Place(NamedTuple):
    """Where the values of a series are: numbers of pieces of the document of its device."""

    document: Document
    current: int
    average: int


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


def update(places: Iterable[Place], part: Records) -> list[tuple[Document, bytes]]:
    """Write current and average of each series of `part` into the document of its device.

    Returns the documents that changed, each once, with their JSON.
    """
    currents, newest_ms = part["values"][:, -1].tolist(), part["times_ms"][:, -1].tolist()
    numbers = encode(currents + averages(part))[1:-1].split(b",")
    texts = zip(numbers[: len(part)], numbers[len(part) :], newest_ms, strict=True)
    changed: dict[Document, None] = {}
    for (document, at, average_at), (current, average, time_ms) in zip(places, texts, strict=True):
        document.pieces[at] = current
        document.pieces[average_at] = average
        if time_ms > document.newest_ms:  # noqa: PLR1730 (a call of max takes longer)
            document.newest_ms = time_ms
        changed[document] = None
    seconds, ms = np.divmod(np.array([document.newest_ms for document in changed]), 1000)
    found = []
    for document, second, text in zip(changed, _texts(seconds), ms.tolist(), strict=True):
        pieces = document.pieces
        pieces[_SECOND], pieces[_MS] = second, _MS_TEXTS[text]
        found.append((document, b"".join(pieces)))
    return found


def _texts(seconds: Ints) -> Iterable[bytes]:
    """RFC 3339 of UTC epoch seconds, without fraction and zone; most documents share a second."""
    numbers: list[int] = seconds.tolist()
    distinct = list(set(numbers))
    texts = np.datetime_as_string(np.array(distinct, "M8[s]")).astype(bytes).tolist()
    return map(dict(zip(distinct, texts, strict=True)).__getitem__, numbers)
