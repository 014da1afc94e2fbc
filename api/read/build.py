"""Builds the bodies of the read API from stored aggregates, and their ETags. Pure.

An ETag changes with the stored data, with a stale flag, and when a slot leaves a window.
`age_ms` and the end of a window change without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from api import collect
from api.read import bodies, query
from api.read.aggregate_store import Packed, StoredDevice
from api.read.parameters import Span
from api.read.units import UnitPreference, converted
from tributary.model import reading
from tributary.model.aggregate import Layout
from tributary.model.catalogue import Catalogue
from tributary.model.units import Conversion


class View(NamedTuple):
    """The settings that bodies depend on."""

    layout: Layout
    catalogue: Catalogue
    stale_after_ms: int

    def metric_stale_after_ms(self, metric: str) -> int:
        """Age above which a value of a metric is stale."""
        own = self.catalogue[metric].stale_after_ms
        return self.stale_after_ms if own is None else own


class Series(NamedTuple):
    """One metric of a device with its aggregates, packed as stored and unpacked."""

    device: str
    metric: str
    packed: Packed
    unpacked: query.Series


class MetricRequest(NamedTuple):
    """A request for one metric: its series, the span, and the unit of the response."""

    series: Series
    span: Span
    unit: str | None
    conversion: Conversion
    now_ms: int

    @property
    def slots(self) -> tuple[query.Series, int, int, int]:
        """The arguments of `query.window` and `query.history` after the layout."""
        return self.series.unpacked, self.span.window, self.now_ms, self.span.length_ms


def unpack(
    view: View, device: str, metrics: Sequence[str], stored: Sequence[Packed]
) -> list[Series]:
    """The series of those metrics that have stored aggregates."""
    return [
        Series(device, metric, packed, query.unpack(view.layout, packed[0], packed[1]))
        for metric, packed in zip(metrics, stored, strict=True)
        if packed[0] is not None
    ]


def listed_device(view: View, stored: StoredDevice, now_ms: int) -> bodies.ListedDevice:
    """A device for the list."""
    age = _age(collect.recorded_at_ms(*stored), now_ms, view.stale_after_ms)
    return bodies.ListedDevice(stored.device, *age)


def whole_device(
    view: View,
    stored: StoredDevice,
    series: Iterable[Series],
    preference: UnitPreference,
    now_ms: int,
) -> bodies.WholeDevice:
    """A device with its metrics."""
    age = _age(collect.recorded_at_ms(*stored), now_ms, view.stale_after_ms)
    metrics = {one.metric: _metric(view, one, preference, now_ms) for one in series}
    return bodies.WholeDevice(stored.device, *age, metrics)


def metric_window(view: View, wanted: MetricRequest) -> bodies.MetricWindow:
    """The statistics of a metric over a window."""
    window = converted(query.window(view.layout, *wanted.slots), wanted.conversion)
    return bodies.MetricWindow(*_head(view, wanted), *msgspec.structs.astuple(window))


def room_average(view: View, series: Series | None, span: Span, now_ms: int) -> bodies.RoomAverage:
    """The average of a room; without readings, null and a count of 0."""
    unpacked = None if series is None else series.unpacked
    window = query.window(view.layout, unpacked, span.window, now_ms, span.length_ms)
    return bodies.RoomAverage(window.mean, window.count, window.from_, window.to)


def history(view: View, wanted: MetricRequest) -> bodies.History:
    """The slots of a metric."""
    slots = query.history(view.layout, *wanted.slots)
    slot_ms = view.layout.windows[wanted.span.window].slot_ms
    return bodies.History(
        *_head(view, wanted), slot_ms, [converted(slot, wanted.conversion) for slot in slots]
    )


def _head(view: View, wanted: MetricRequest) -> tuple[str, str, str, str | None, str | None]:
    """The fields that statistics and history have in common."""
    one = wanted.series
    description = view.catalogue[one.metric].description
    return one.device, one.metric, wanted.span.name, wanted.unit, description


def device_etag(view: View, stored: StoredDevice, series: Iterable[Series], now_ms: int) -> str:
    """The ETag of `whole_device`.

    It does not cover the parameters: they are in the URL, and an ETag belongs to one URL.
    """
    is_stale = now_ms - collect.recorded_at_ms(*stored) > view.stale_after_ms
    edges = [now_ms // window.slot_ms for window in view.layout.windows]
    return _etag(view, [stored.latest, *_parts(view, series, now_ms)], [is_stale, *edges])


def metric_etag(view: View, wanted: MetricRequest) -> str:
    """The ETag of `metric_window` and `history`."""
    slot_ms = view.layout.windows[wanted.span.window].slot_ms
    edges = [(wanted.now_ms - wanted.span.length_ms) // slot_ms, wanted.now_ms // slot_ms]
    return _etag(view, _parts(view, [wanted.series], wanted.now_ms), edges)


def _etag(view: View, parts: Iterable[bytes], numbers: Iterable[int]) -> str:
    digest = hashlib.blake2b(view.catalogue.digest, digest_size=12)
    for part in parts:
        digest.update(part)
    digest.update(b",".join(b"%d" % number for number in numbers))
    return f'W/"{digest.hexdigest()}"'


def _parts(view: View, series: Iterable[Series], now_ms: int) -> Iterator[bytes]:
    for one in series:
        age_ms = now_ms - one.unpacked.newest_ms
        yield b"%d" % (age_ms > view.metric_stale_after_ms(one.metric))
        yield from (stored or b"-" for stored in one.packed)


def _metric(view: View, one: Series, preference: UnitPreference, now_ms: int) -> bodies.Metric:
    entry = view.catalogue[one.metric]
    unit, conversion = preference.for_metric(one.metric)
    current = float(one.unpacked.state["values"][-1])
    return bodies.Metric(
        conversion.value(current),
        conversion.value(query.average(one.unpacked)),
        *_age(one.unpacked.newest_ms, now_ms, view.metric_stale_after_ms(one.metric)),
        entry.is_plausible(current),
        unit,
        entry.description,
        converted(query.total(one.unpacked), conversion),
        {
            width.name: converted(
                query.window(view.layout, one.unpacked, number, now_ms), conversion
            )
            for number, width in enumerate(view.layout.windows)
        },
    )


def _age(recorded_at_ms: int, now_ms: int, stale_after_ms: int) -> tuple[str, int, bool]:
    """`recorded_at`, `age_ms` and `stale`."""
    age_ms = max(0, now_ms - recorded_at_ms)
    return reading.rfc3339(recorded_at_ms), age_ms, age_ms > stale_after_ms
