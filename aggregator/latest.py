"""The document of a device that `/collect` returns: current value and average of each metric."""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec
import numpy as np

from tributary.model import reading
from tributary.model.aggregate import Records, mean

encode = msgspec.json.Encoder().encode


class Document:
    """The response for one device without age and stale flag, as a dict in the order of its JSON."""

    __slots__ = ("body", "is_new", "newest_ms")

    def __init__(self, body: dict[str, str | float], newest_ms: int, *, is_new: bool) -> None:
        self.body = body
        self.newest_ms = newest_ms
        self.is_new = is_new

    @classmethod
    def parse(cls, device: str, text: bytes | None) -> Document:
        """Parse the stored document of a device, or create an empty one."""
        if text is None:
            return cls({"device": device, "recorded_at": ""}, -1, is_new=True)
        body = msgspec.json.decode(text, type=dict[str, str | float])
        return cls(body, reading.time_ms(str(body["recorded_at"])), is_new=False)


def averages(part: Records) -> list[float]:
    """Mean of the newest readings of each series, equal to `aggregate.mean`."""
    kept = part["values"].shape[1]
    counts = np.minimum(part["count"], kept)
    rows: list[list[float]] = part["values"].tolist()  # unused places are 0.0
    try:
        rounded = np.array(list(map(math.fsum, rows))) / counts
        means: list[float] = np.minimum(np.maximum(rounded, part["min"]), part["max"]).tolist()
    except OverflowError:
        return [mean(row[-n:]) for row, n in zip(rows, counts.tolist(), strict=True)]
    return means


def update(documents: Iterable[Document], metrics: Iterable[str], part: Records) -> list[Document]:
    """Write current and average of each series of `part` into its device's document.

    Returns the documents that changed, each once.
    """
    currents = part["values"][:, -1].tolist()
    newest_ms = part["times_ms"][:, -1].tolist()
    touched: dict[int, Document] = {}
    for document, metric, current, average, time_ms in zip(
        documents, metrics, currents, averages(part), newest_ms, strict=True
    ):
        body = document.body
        body["current_" + metric] = current
        body["average_" + metric] = average
        document.newest_ms = max(document.newest_ms, time_ms)
        touched[id(document)] = document
    changed = list(touched.values())
    times = np.array([d.newest_ms for d in changed], "M8[ms]")
    texts = np.datetime_as_string(times, timezone="UTC").tolist()
    for document, text in zip(changed, texts, strict=True):
        document.body["recorded_at"] = text
    return changed
