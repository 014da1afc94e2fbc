"""The answers of the read API from what is stored of a device, at a moment. Pure.

Each has a tag that changes with what is stored, with a stale flag, and when a slot leaves a
window; `age_ms` and the end of a window run on without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from api import collect
from api.read import query, units
from api.read.aggregate_store import Listed, Packed
from api.read.parameters import Span
from api.read.units import Wish
from tributary.model import reading
from tributary.model.aggregate import Layout
from tributary.model.catalogue import Catalogue, Metric


class View(NamedTuple):
    """What the answers of a deployment depend on."""

    layout: Layout
    catalogue: Catalogue
    stale_after_ms: int

    def metric_stale_after_ms(self, metric: str) -> int:
        """Age at which a value of a metric is stale."""
        own = self.catalogue[metric].stale_after_ms
        return self.stale_after_ms if own is None else own


class Series(NamedTuple):
    """One metric of a device: both names, what is stored, and that unpacked."""

    device: str
    metric: str
    packed: Packed
    unpacked: query.Series


def unpack(
    view: View, device: str, metrics: Sequence[str], stored: Sequence[Packed]
) -> list[Series]:
    """The metrics that something is stored of."""
    return [
        Series(device, metric, packed, query.unpack(view.layout, packed[0], packed[1]))
        for metric, packed in zip(metrics, stored, strict=True)
        if packed[0] is not None
    ]


def listed(view: View, device: Listed, now_ms: int) -> dict[str, Any]:
    """A device as it stands in the list."""
    recorded_ms = collect.recorded_at_ms(*device)
    return {"device": device.device, **_age(recorded_ms, now_ms, view.stale_after_ms)}


def device(
    view: View, shown: Listed, series: Iterable[Series], wish: Wish, now_ms: int
) -> dict[str, Any]:
    """A device with all that is known of its metrics."""
    metrics = {one.metric: _metric(view, one, wish, now_ms) for one in series}
    return {**listed(view, shown, now_ms), "metrics": metrics}


def statistics(view: View, one: Series, span: Span, wish: Wish, now_ms: int) -> dict[str, Any]:
    """One metric of a device over a window."""
    unit, way = wish.of(one.metric)
    found = query.window(view.layout, one.unpacked, span.window, now_ms, span.length_ms)
    return {
        "device": one.device,
        "metric": one.metric,
        "window": span.name,
        **_named(view.catalogue[one.metric], unit),
        **units.applied(way, found),
    }


def history(view: View, one: Series, span: Span, wish: Wish, now_ms: int) -> dict[str, Any]:
    """One metric of a device, slot by slot."""
    unit, way = wish.of(one.metric)
    slots = query.history(view.layout, one.unpacked, span.window, now_ms, span.length_ms)
    return {
        "device": one.device,
        "metric": one.metric,
        "window": span.name,
        **_named(view.catalogue[one.metric], unit),
        "slot_ms": view.layout.windows[span.window].slot_ms,
        "slots": [units.applied(way, slot) for slot in slots],
    }


def device_etag(view: View, shown: Listed, series: Iterable[Series], now_ms: int) -> str:
    """The tag of `device`.

    Parameters stand in the URL, and a tag is compared only with those of the same URL.
    """
    is_stale = now_ms - collect.recorded_at_ms(*shown) > view.stale_after_ms
    edges = [now_ms // window.slot_ms for window in view.layout.windows]
    return _etag(view, [shown.latest, *_parts(view, series, now_ms)], [is_stale, *edges])


def metric_etag(view: View, one: Series, span: Span, now_ms: int) -> str:
    """The tag of `statistics` and of `history`."""
    slot_ms = view.layout.windows[span.window].slot_ms
    edges = [(now_ms - span.length_ms) // slot_ms, now_ms // slot_ms]
    return _etag(view, _parts(view, [one], now_ms), edges)


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


def _metric(view: View, one: Series, wish: Wish, now_ms: int) -> dict[str, Any]:
    known = view.catalogue[one.metric]
    unit, way = wish.of(one.metric)
    current = float(one.unpacked.state["values"][-1])
    windows = {
        width.name: units.applied(way, query.window(view.layout, one.unpacked, number, now_ms))
        for number, width in enumerate(view.layout.windows)
    }
    stale_after_ms = view.metric_stale_after_ms(one.metric)
    values = {"current": current, "average": query.average(one.unpacked)}
    return {
        **units.applied(way, values),
        **_age(one.unpacked.newest_ms, now_ms, stale_after_ms),
        "plausible": known.is_plausible(current),
        **_named(known, unit),
        "total": units.applied(way, query.total(one.unpacked)),
        "windows": windows,
    }


def _named(known: Metric, unit: str | None) -> dict[str, Any]:
    return {"unit": unit, "description": known.description}


def _age(recorded_at_ms: int, now_ms: int, stale_after_ms: int) -> dict[str, Any]:
    age_ms = max(0, now_ms - recorded_at_ms)
    return {
        "recorded_at": reading.rfc3339(recorded_at_ms),
        "age_ms": age_ms,
        "stale": age_ms > stale_after_ms,
    }
