"""Reads one series over a time span, from the windows in Redis and from the history."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from api import collect
from api.read import build, query, sources
from api.read.aggregate_store import AggregateStore, StoredSeries
from api.read.build import View
from api.read.history_store import Found, HistoryStore
from api.read.query import NO_CELLS, Cells
from api.read.sources import Sources
from api.read.span import Span
from tributary.auth.tokens import Token
from tributary.model.clock import utc_ms

SpanOf = Callable[[Sources], Span]  # `span.whole` or `span.slots` of a request


class SeriesSpan(NamedTuple):
    """The stored slots of a series in a time span."""

    series: build.Series | None  # None: Redis does not know it
    span: Span
    cells: Cells
    found: Found | None  # what the history has; None: it was not needed
    now_ms: int


class SeriesReader(NamedTuple):
    """Reads series; methods raise `Unavailable` if Redis or a history that is needed is."""

    store: AggregateStore
    history: HistoryStore
    view: View
    clock: Callable[[], int] = utc_ms

    def read(self, names: tuple[str, str], span_of: SpanOf, token: Token | None) -> SeriesSpan:
        """A series, by device and metric.

        Raises:
            Refused: 404, neither Redis nor the history knows it; 400, as `span_of`.
        """
        stored, archived = self._find(names, token)
        if stored.packed.state is None and names[1] not in archived:
            if archived or stored.latest is not None:
                raise collect.unknown_metric(*names)
            raise collect.unknown_device(names[0])
        return self._read(names, stored, archived, span_of, token)

    def read_or_empty(
        self, names: tuple[str, str], span_of: SpanOf, token: Token | None
    ) -> SeriesSpan:
        """The same, and an unknown series has no slots."""
        stored, archived = self._find(names, token)
        return self._read(names, stored, archived, span_of, token)

    def _find(
        self, names: tuple[str, str], token: Token | None
    ) -> tuple[StoredSeries, Collection[str]]:
        """The series in Redis, and if it is not there, the metrics of its device in the history."""
        stored = self.store.series(*names)
        is_known = stored.packed.state is not None
        return stored, () if is_known else self.history.metrics(names[0], token)

    def _read(
        self,
        names: tuple[str, str],
        stored: StoredSeries,
        archived: Collection[str],
        span_of: SpanOf,
        token: Token | None,
    ) -> SeriesSpan:
        # After Redis: a window at an earlier time might have lost its oldest slot since.
        now_ms, layout = self.clock(), self.view.layout
        series = next(iter(build.unpack(self.view, names[0], [names[1]], [stored.packed])), None)
        keep = self.view.catalogue[names[1]].keep
        # What Redis does not know was perhaps recorded before it lost its data.
        windows = () if names[1] in archived or keep == "latest" else layout.windows
        kept = self.history.kept if keep == "all" else ()
        span = span_of(Sources(now_ms, windows, kept, keep))
        cells, found, parts = NO_CELLS, None, sources.in_history(span.parts)
        if parts:
            found = self.history.read(*names, parts, stored.applied, token)
            cells = found.cells
        for part in span.parts:
            if part.window is not None and series is not None:
                bounds = part.window, part.begin_ms, part.end_ms
                cells = cells.plus(query.in_window(layout, series.unpacked, *bounds))
        return SeriesSpan(series, span, cells, found, now_ms)
