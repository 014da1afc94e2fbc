"""Finds the series that a selector matches, among those that the token of the request covers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from api import collect
from api.prometheus import bounds
from api.prometheus.bounds import Deadline
from api.prometheus.matching import Selection
from api.read.aggregate_store import StoredDevice
from api.read.series_reader import SeriesReader
from tributary.auth.tokens import Token
from tributary.model import reading

_PAGE = 1_000


class Known(NamedTuple):
    """One series, and when its device was last heard of, UTC; None: only the history has it."""

    device: str
    metric: str
    newest_ms: int | None


class SeriesIndex(NamedTuple):
    """Series by selector; methods raise `Unavailable` if Redis is, and `QueryTimeout`."""

    reader: SeriesReader
    token: Token | None
    deadline: Deadline

    def find(self, selection: Selection) -> Iterator[Known]:
        """The series of a selector, by device.

        A device that Redis does not know is found only if the selector names it.

        Raises:
            Refused: 422, too many devices would have to be searched.
        """
        names = selection.devices()
        if names is None:
            yield from self._search(selection)
            return
        for device in names:
            self.deadline.check()
            if not reading.is_device(device) or not self._covers(device):
                continue
            latest = self.reader.store.latest(device)
            if latest is not None:
                yield from _series(selection, StoredDevice(device, latest))
                continue
            for metric in self.reader.history.metrics(device, self.token):
                if selection.matches(device, metric):
                    yield Known(device, metric, None)

    def _search(self, selection: Selection) -> Iterator[Known]:
        prefix = selection.prefix()
        narrow = prefix if self.token is None else self.token.narrowed(prefix)
        covers = None if self.token is None or self.token.is_for_all else self._covers
        after, searched = "", 0
        while narrow is not None:
            self.deadline.check()
            page = self.reader.store.devices(narrow, after, _PAGE, covers)
            for stored in page.devices:
                yield from _series(selection, stored)
            searched += len(page.devices)
            if page.next is None:
                return
            if searched >= bounds.DEVICES_MAX:
                raise bounds.execution(
                    f"more than {bounds.DEVICES_MAX} devices would have to be searched; name "
                    'them, or match a prefix, as in device=~"car-.*"'
                )
            after = page.next

    def _covers(self, device: str) -> bool:
        return self.token is None or self.token.covers(device)


def _series(selection: Selection, stored: StoredDevice) -> Iterator[Known]:
    if not selection.matches_device(stored.device):
        return
    newest_ms = collect.recorded_at_ms(*stored)
    for metric in collect.metrics_of(stored.latest):
        if selection.matches(stored.device, metric):
            yield Known(stored.device, metric, newest_ms)
