"""The documents of the devices whose series are in memory."""

from __future__ import annotations

from collections.abc import Sequence

from aggregator import latest
from aggregator.latest import Document, Label, Metric, Place
from tributary.model.aggregate import NO_TIME, Records
from tributary.model.groups import Ints

_NO_LABEL = latest.metric("")


class Documents:
    """For each row of the table where its values are: the head of a document, or a document."""

    def __init__(self, rows: int) -> None:
        self._places: list[Place] = [b""] * rows
        self._labels: list[Label] = [_NO_LABEL] * rows
        self._found: dict[str, int | Document] = {}  # by device; its row, if it has one metric

    def grow(self, more: int) -> None:
        """Add rows."""
        self._places += [b""] * more
        self._labels += [_NO_LABEL] * more

    def load(
        self,
        stored: dict[str, bytes | None],
        series: list[tuple[str, str]],
        rows: list[int],
        state: Records,
    ) -> list[str]:
        """Add loaded rows, with the stored documents of their devices; returns the new devices.

        `state`: of the table, with the loaded rows.
        """
        missing = [device for device in stored if device not in self._found]
        added = {device: Document(device, stored[device]) for device in missing}
        self._found |= added
        for row, (device, name) in zip(rows, series, strict=True):
            found = self._found[device]
            document = found if isinstance(found, Document) else self._split(device, found, state)
            self._places[row], self._labels[row] = document, document.add(latest.metric(name))
        times_ms = state["times_ms"][rows, -1].tolist()
        for row, (device, name), time_ms in zip(rows, series, times_ms, strict=True):
            if device in added and added[device].newest_ms <= time_ms:
                metric = latest.metric(name)
                if (head := added[device].head(metric)) is not None:
                    self._places[row], self._labels[row] = head, metric
                    self._found[device] = row
        return [device for device in missing if stored[device] is None]

    def _split(self, device: str, row: int, state: Records) -> Document:
        """The document of a device that had one metric until now."""
        part, metric, text = state[row : row + 1], self._labels[row], None
        assert isinstance(metric, Metric)
        if part["times_ms"][0, -1] != NO_TIME:
            ((_, text),) = latest.update([self._places[row]], [metric], part, [1])
        document = Document(device, text)
        self._found[device] = self._places[row] = document
        self._labels[row] = document.add(metric)
        return document

    def release(self, row: int, device: str) -> None:
        """Remove a row, and a document with its last one."""
        self._places[row], self._labels[row] = b"", _NO_LABEL
        document = self._found.get(device)  # none if loading it failed
        if isinstance(document, Document):
            document.rows -= 1
            if document.rows > 0:
                return
        self._found.pop(device, None)

    def update(self, rows: Ints, part: Records, sizes: Sequence[int]) -> list[list[bytes]]:
        """Write the values of rows, whose state is `part`, into their documents.

        `sizes`: how many of the rows are of each partition.
        Returns by partition device and JSON of each document that changed, alternating.
        """
        numbers: list[int] = rows.tolist()
        places = [self._places[row] for row in numbers]
        return latest.update(places, [self._labels[row] for row in numbers], part, sizes)
