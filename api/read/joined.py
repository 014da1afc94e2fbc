"""Builds the bodies of statistics and slots of one series over a time span. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from api.read import bodies, build, query, selected
from api.read.build import View
from api.read.history_store import Found
from api.read.series_reader import SeriesSpan
from api.read.units import converted
from tributary.model import reading
from tributary.model.units import Conversion

_LAG_SHOWN_MS = 60_000  # an ETag ignores how far the history is behind if it is less


class MetricRequest(NamedTuple):
    """A request for one metric: its slots, and the unit of the response."""

    device: str
    metric: str
    window: str | None  # the length as requested; None: two times
    read: SeriesSpan
    unit: str | None
    conversion: Conversion


def metric_window(view: View, wanted: MetricRequest) -> bodies.MetricWindow:
    """The statistics of a metric over a window."""
    window = converted(_statistics(view, wanted), wanted.conversion)
    return bodies.MetricWindow(
        wanted.device,
        wanted.metric,
        wanted.window or "",
        wanted.unit,
        view.catalogue[wanted.metric].description,
        *msgspec.structs.astuple(window),
        **_completeness(wanted.read.found),
    )


def room_average(read: SeriesSpan) -> bodies.RoomAverage:
    """The average of a room; without readings, null and a count of 0."""
    window = query.over(read.cells.cells, read.span.begin_ms, read.span.to_ms)
    complete = _completeness(read.found)
    return bodies.RoomAverage(window.mean, window.count, window.from_, window.to, **complete)


def history(view: View, wanted: MetricRequest) -> bodies.History:
    """The slots of a metric."""
    span = wanted.read.span
    return bodies.History(
        device=wanted.device,
        metric=wanted.metric,
        window=wanted.window or msgspec.UNSET,
        unit=wanted.unit,
        description=view.catalogue[wanted.metric].description,
        from_=reading.rfc3339(span.begin_ms),
        to=reading.rfc3339(span.to_ms),
        slot_ms=span.slot_ms,
        slots=[
            converted(slot, wanted.conversion)
            for slot in query.slots(wanted.read.cells, span.slot_ms)
        ],
        **_completeness(wanted.read.found),
    )


def etag(view: View, read: SeriesSpan) -> str:
    """The ETag of `metric_window` and `history`."""
    series = [] if read.series is None else [read.series]
    parts = [*build.parts_of(view, series, read.now_ms)]
    numbers = [read.span.begin_ms, read.span.end_ms]
    if read.found is not None:
        parts += [read.found.cells.begin_ms.tobytes(), read.found.cells.cells.tobytes()]
        complete_ms = read.found.complete_until_ms or 0
        is_behind = read.now_ms - complete_ms >= _LAG_SHOWN_MS
        numbers += [complete_ms // _LAG_SHOWN_MS if is_behind else -1]
        numbers += [number for gap in read.found.gaps for number in gap]
    return build.etag_of(view, parts, numbers)


def _statistics(view: View, wanted: MetricRequest) -> bodies.Window:
    read = wanted.read
    found = query.over(read.cells.cells, read.span.begin_ms, read.span.to_ms)
    series = None if read.series is None else read.series.unpacked
    return selected.over(found, view.declared, wanted.metric, series, read.span)


def _completeness(found: Found | None) -> dict[str, Any]:
    """`complete_until` and `gaps`, if anything comes from the history."""
    if found is None:
        return {}
    until_ms = found.complete_until_ms
    gaps = [
        bodies.Gap(reading.rfc3339(gap.from_ms), reading.rfc3339(gap.to_ms), *gap[2:])
        for gap in found.gaps
    ]
    return {"complete_until": until_ms and reading.rfc3339(until_ms), "gaps": gaps}
