"""Builds the bodies of the read API from stored aggregates, and their ETags. Pure.

An ETag changes with the stored data, with a stale flag, and when a slot leaves a window.
`age_ms` and the end of a window change without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from api import collect
from api.read import bodies, query, selected
from api.read.aggregate_store import StoredDevice
from api.read.fleet_snapshot import Selection
from api.read.units import UnitPreference, converted
from tributary.model import reading
from tributary.model.aggregate import Layout
from tributary.model.catalogue import Catalogue
from tributary.model.counter import ALWAYS, Known
from tributary.model.declared import Declared
from tributary.model.quantiles import Rows
from tributary.store.series import Packed


class View(NamedTuple):
    """The settings that bodies depend on."""

    layout: Layout
    catalogue: Catalogue
    stale_after_ms: int
    declared: Declared

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


def unpack(
    view: View, device: str, metrics: Sequence[str], stored: Sequence[Packed]
) -> list[Series]:
    """The series of those metrics that have stored aggregates."""
    return [
        Series(device, metric, packed, _unpacked(view, metric, packed.state, packed))
        for metric, packed in zip(metrics, stored, strict=True)
        if packed.state is not None
    ]


def _unpacked(view: View, metric: str, state: bytes, packed: Packed) -> query.Series:
    found = query.unpack(view.layout, state, packed.windows)
    declared, pending = view.declared, packed.pending
    if metric in declared.counters:
        known = Known.of(found.state, pending)
        found = found._replace(counter=declared.counter(metric, packed.counter, known, ALWAYS))
    if metric in declared.with_quantiles:
        rows = Rows(found.state, found.rings, found.overflow, pending)
        found = found._replace(quantiles=declared.quantiles(packed.quantiles, rows, ALWAYS))
    return found


def listed_device(view: View, stored: StoredDevice, now_ms: int) -> bodies.ListedDevice:
    """A device for the list."""
    age = _age(collect.recorded_at_ms(*stored), now_ms, view.stale_after_ms)
    return bodies.ListedDevice(stored.device, *age)


def fleet(
    view: View, page: Iterable[StoredDevice], selection: Selection, now_ms: int
) -> bodies.Fleet:
    """A page of the filtered list of devices."""
    metrics = [
        bodies.FleetMetric(name, view.catalogue[name].unit, devices)
        for name, devices in selection.metrics
    ]
    counts = bodies.FleetCounts(**selection.counts)
    listed = [_fleet_device(view, stored, now_ms) for stored in page]
    return bodies.Fleet(listed, selection.matched, counts, metrics)


def _fleet_device(view: View, stored: StoredDevice, now_ms: int) -> bodies.FleetDevice:
    age = _age(collect.recorded_at_ms(*stored), now_ms, view.stale_after_ms)
    values = {
        metric: bodies.FleetValue(current, average)
        for metric, current, average in collect.values_of(stored.latest)
    }
    return bodies.FleetDevice(stored.device, *age, values)


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


def device_etag(view: View, stored: StoredDevice, series: Iterable[Series], now_ms: int) -> str:
    """The ETag of `whole_device`.

    It does not cover the parameters: they are in the URL, and an ETag belongs to one URL.
    """
    is_stale = now_ms - collect.recorded_at_ms(*stored) > view.stale_after_ms
    edges = [now_ms // window.slot_ms for window in view.layout.windows]
    return etag_of(view, [stored.latest, *parts_of(view, series, now_ms)], [is_stale, *edges])


def etag_of(view: View, parts: Iterable[bytes], numbers: Iterable[int]) -> str:
    """The ETag of a body that depends on the catalogue, these parts and these numbers."""
    digest = hashlib.blake2b(view.catalogue.digest, digest_size=12)
    for part in parts:
        digest.update(part)
    digest.update(b",".join(b"%d" % number for number in numbers))
    return f'W/"{digest.hexdigest()}"'


def parts_of(view: View, series: Iterable[Series], now_ms: int) -> Iterator[bytes]:
    """What an ETag depends on: the stored aggregates, and whether they are stale."""
    for one in series:
        age_ms = now_ms - one.unpacked.newest_ms
        yield b"%d" % (age_ms > view.metric_stale_after_ms(one.metric))
        yield from (stored or b"-" for stored in (one.packed.state, one.packed.windows))


def _metric(view: View, one: Series, preference: UnitPreference, now_ms: int) -> bodies.Metric:
    entry = view.catalogue[one.metric]
    unit, conversion = preference.for_metric(one.metric)
    current = float(one.unpacked.state["values"][-1])
    windows = () if entry.keep == "latest" else view.layout.windows
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
                selected.window(view.layout, one.unpacked, number, now_ms), conversion
            )
            for number, width in enumerate(windows)
        },
    )


def _age(recorded_at_ms: int, now_ms: int, stale_after_ms: int) -> tuple[str, int, bool]:
    """`recorded_at`, `age_ms` and `stale`."""
    age_ms = max(0, now_ms - recorded_at_ms)
    return reading.rfc3339(recorded_at_ms), age_ms, age_ms > stale_after_ms
