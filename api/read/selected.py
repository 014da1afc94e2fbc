"""Statistics that only metrics have for which the catalogue declares them. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from api.read import bodies, query
from api.read.sources import Part
from api.read.span import Span
from tributary.model.aggregate import Layout
from tributary.model.counter import Counter
from tributary.model.declared import Declared
from tributary.model.groups import Floats, Ints
from tributary.model.quantiles import LENGTH_MIN_MS, Quantiles

_RANKS = np.array([0.5, 0.95, 0.99])


def window(layout: Layout, series: query.Series, number: int, now_ms: int) -> bodies.Window:
    """The statistics of a window: see `query.window`."""
    found, width = query.window(layout, series, number, now_ms), layout.windows[number]
    first, last = (now_ms - width.length_ms) // width.slot_ms, now_ms // width.slot_ms
    begin_ms, end_ms = first * width.slot_ms, (last + 1) * width.slot_ms
    parts = [Part(begin_ms, end_ms, width.slot_ms, number)]
    if series.quantiles is not None and width.length_ms >= LENGTH_MIN_MS:
        found = _with_quantiles(found, series.quantiles, parts)
    if series.counter is not None:
        found = _counted(found, series.counter, parts, now_ms)
    return found


def over(
    found: bodies.Window,
    declared: Declared,
    metric: str,
    series: query.Series | None,
    span: Span,
) -> bodies.Window:
    """The statistics of a metric over a time span.

    Args:
        found: those of every metric.
        declared: which others it has.
        metric: its name.
        series: None: Redis does not know it.
        span: whose parts in windows have them.
    """
    if metric in declared.with_quantiles and span.to_ms - span.begin_ms >= LENGTH_MIN_MS:
        found = _with_quantiles(found, series and series.quantiles, span.parts)
    if metric in declared.counters:
        found = _counted(found, series and series.counter, span.parts, span.to_ms)
    return found


class Increases(NamedTuple):
    """The slots of a counter, and the increase of each."""

    begin_ms: Ints
    increase: Floats


def increases(counter: Counter, part: Part) -> Increases:
    """The slots of a part of a window."""
    assert part.window is not None
    slots, gained = counter.slots(part.window)
    wanted = (slots >= part.begin_ms // part.slot_ms) & (slots < part.end_ms // part.slot_ms)
    return Increases(slots[wanted] * part.slot_ms, gained[wanted])


def _counted(
    found: bodies.Window, counter: Counter | None, parts: Sequence[Part], to_ms: int
) -> bodies.Window:
    gained = None if counter is None else _increase(counter, parts)
    if counter is None or gained is None or found.count == 0 or counter.count < 2:
        return msgspec.structs.replace(found, increase=None, rate=None)
    covered_ms = to_ms - max(parts[0].begin_ms, counter.first_ms)
    rate = gained / covered_ms * 1000 if covered_ms > 0 else None
    return msgspec.structs.replace(found, increase=gained, rate=rate)


def _increase(counter: Counter, parts: Iterable[Part]) -> float | None:
    """What a counter has gained in parts of windows; None if another part is included."""
    total = 0.0
    for part in parts:
        if part.window is None:
            return None
        total += float(increases(counter, part).increase.sum())
    return max(0.0, total) if math.isfinite(total) else None


def _with_quantiles(
    found: bodies.Window, quantiles: Quantiles | None, parts: Sequence[Part]
) -> bodies.Window:
    values: Sequence[float | None] = [None] * len(_RANKS)
    if quantiles is not None and len(parts) == 1 and parts[0].window is not None:
        part, number = parts[0], parts[0].window
        slots = range(part.begin_ms // part.slot_ms, part.end_ms // part.slot_ms)
        known = quantiles.values(number, slots, _RANKS)
        values = values if known is None else known.tolist()
    return msgspec.structs.replace(found, p50=values[0], p95=values[1], p99=values[2])
