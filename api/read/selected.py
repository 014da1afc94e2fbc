"""Statistics that only metrics have for which the catalogue declares them. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from api.read import bodies, query
from api.read.sources import Part
from api.read.span import Span
from tributary.model.aggregate import Layout
from tributary.model.counter import Counter
from tributary.model.groups import Floats, Ints


def window(layout: Layout, series: query.Series, number: int, now_ms: int) -> bodies.Window:
    """The statistics of a window: see `query.window`."""
    found, width = query.window(layout, series, number, now_ms), layout.windows[number]
    if series.counter is None:
        return found
    first, last = (now_ms - width.length_ms) // width.slot_ms, now_ms // width.slot_ms
    begin_ms, end_ms = first * width.slot_ms, (last + 1) * width.slot_ms
    part = Part(begin_ms, end_ms, width.slot_ms, number)
    return _counted(found, series.counter, [part], now_ms)


def counted(found: bodies.Window, series: query.Series | None, span: Span) -> bodies.Window:
    """The statistics of a counter over a time span, with its increase where it is known."""
    if series is None or series.counter is None:
        return msgspec.structs.replace(found, increase=None, rate=None)
    return _counted(found, series.counter, span.parts, span.to_ms)


def increase(counter: Counter, parts: Iterable[Part]) -> float | None:
    """What a counter has gained in parts of windows; None if another part is included."""
    total = 0.0
    for part in parts:
        if part.window is None:
            return None
        total += float(increases(counter, part).increase.sum())
    return max(0.0, total)


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
    found: bodies.Window, counter: Counter, parts: list[Part], to_ms: int
) -> bodies.Window:
    gained = increase(counter, parts)
    if found.count == 0 or counter.count < 2 or gained is None or not math.isfinite(gained):
        return msgspec.structs.replace(found, increase=None, rate=None)
    covered_ms = to_ms - max(parts[0].begin_ms, counter.first_ms)
    rate = gained / covered_ms * 1000 if covered_ms > 0 else None
    return msgspec.structs.replace(found, increase=gained, rate=rate)
