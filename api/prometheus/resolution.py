"""Chooses the stored slots that a selector is computed from. Pure; the time is an argument.

A slot belongs to a time t if it begins before t, and to a range [t - r, t) if it begins in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from api.prometheus import bounds
from api.read.sources import Part, Sources
from api.read.span import Span, duration

LOOK_BACK_MS = 300_000  # age at which a value is stale, as in Prometheus
_SHARE = 60  # of a range: narrower slots would hardly change the result
_CLOSE = 10  # wider slots than this share of a range are mentioned in the response


class Steps(NamedTuple):
    """Times at which an expression is evaluated: UTC ms, from `first_ms` to `last_ms`."""

    first_ms: int
    last_ms: int
    step_ms: int  # 0: there is one

    @property
    def number(self) -> int:
        """The number of times."""
        return (self.last_ms - self.first_ms) // self.step_ms + 1 if self.step_ms else 1

    def shifted(self, offset_ms: int) -> Steps:
        """The times earlier by an offset."""
        return self._replace(first_ms=self.first_ms - offset_ms, last_ms=self.last_ms - offset_ms)

    def are_aligned(self, slot_ms: int) -> bool:
        """Whether every time is the start of a slot."""
        return self.first_ms % slot_ms == 0 == self.step_ms % slot_ms


class Choice(NamedTuple):
    """Slots to read, and how they fit the request."""

    span: Span
    is_close: bool  # whether the slots make up the range, or nearly so

    @property
    def slot(self) -> str:
        """The width, such as 1m."""
        return duration(self.span.slot_ms)


def for_latest(steps: Steps, look_back_ms: int, sources: Sources) -> Choice:
    """Slots to find the newest value before each time: narrow ones, and narrower at the end."""
    options = list(_options(steps, look_back_ms, sources))
    fitting = [span for span in options if _slots(span) <= bounds.SLOTS_MAX]
    span = (fitting or options or [_empty(steps)])[0]
    finer = [part for part in _windows(steps, look_back_ms, sources) if part.slot_ms < span.slot_ms]
    return Choice(span._replace(parts=[*span.parts, *finer]), span.slot_ms <= look_back_ms)


def for_range(steps: Steps, range_ms: int, sources: Sources) -> Choice:
    """Slots to compute statistics over ranges: the widest that make them up exactly.

    Otherwise the widest of at most 1/60 of the range, or the narrowest.

    Raises:
        Refused: 422, the range is shorter than the slots kept at that time.
    """
    options = [span for span in _options(steps, range_ms, sources) if span.slot_ms]
    usable = [span for span in options if span.slot_ms <= range_ms]
    if not usable:
        if not options:
            return Choice(_empty(steps), is_close=True)
        kept = duration(options[0].slot_ms)
        raise bounds.execution(
            f"a range of {range_ms / 1000:g}s is shorter than the slots kept of that time, which "
            f"are {kept}; use [{kept}] or more"
        )
    exact = [
        span for span in usable if range_ms % span.slot_ms == 0 and steps.are_aligned(span.slot_ms)
    ]
    if exact:
        return Choice(exact[-1], is_close=True)
    narrow = [span for span in usable if span.slot_ms * _SHARE <= range_ms]
    span = narrow[-1] if narrow else usable[0]
    return Choice(span, is_close=span.slot_ms * _CLOSE <= range_ms)


def _options(steps: Steps, range_ms: int, sources: Sources) -> Iterator[Span]:
    """Spans in slots of every stored width that is kept for all of the time, narrowest first.

    If none is, the span in the slots that reach back the furthest, as far as they do.
    """
    widths = sorted({w.slot_ms for w in sources.windows} | {k.slot_ms for k in sources.kept})
    is_any = False
    for slot_ms in widths:
        span = _span(steps, range_ms, slot_ms, 0)
        parts = sources.parts(span.begin_ms, span.end_ms, slot_ms)
        # Slots put together from narrower ones would cost as much as those.
        if parts is not None and (not parts or parts[0].slot_ms == slot_ms):
            is_any = True
            yield span._replace(parts=parts)
    if widths and not is_any:
        reach_ms, slot_ms = min((_reach_ms(slot_ms, sources), slot_ms) for slot_ms in widths)
        span = _span(steps, range_ms, slot_ms, reach_ms)
        parts = sources.parts(span.begin_ms, span.end_ms, slot_ms) if span.parts else []
        yield span._replace(parts=parts or [])


def _span(steps: Steps, range_ms: int, slot_ms: int, oldest_ms: int) -> Span:
    """The slots that begin in a range before one of the times; its parts only say if any do."""
    length_ms = max(range_ms, slot_ms)
    begin_ms = max(0, oldest_ms, _up(steps.first_ms - length_ms, slot_ms))
    end_ms = max(begin_ms, _up(steps.last_ms, slot_ms))
    parts = [Part(begin_ms, end_ms, slot_ms, None)] if begin_ms < end_ms else []
    return Span(begin_ms, end_ms, end_ms, slot_ms, parts)


def _windows(steps: Steps, range_ms: int, sources: Sources) -> Iterator[Part]:
    """What the windows have of the time, widest slots first."""
    for number, window in reversed(list(enumerate(sources.windows))):
        slot_ms = window.slot_ms
        oldest_ms = (sources.now_ms // slot_ms - window.slots) * slot_ms
        span = _span(steps, range_ms, slot_ms, oldest_ms)
        if span.parts:
            yield Part(span.begin_ms, span.end_ms, slot_ms, number)


def _reach_ms(slot_ms: int, sources: Sources) -> int:
    """The oldest slot of a width that is kept."""
    now_ms = sources.now_ms
    starts = [kept.first_ms(now_ms) for kept in sources.kept if slot_ms % kept.slot_ms == 0]
    starts += [
        (now_ms // window.slot_ms - window.slots) * window.slot_ms
        for window in sources.windows
        if slot_ms % window.slot_ms == 0
    ]
    return _up(min(starts), slot_ms)


def _slots(span: Span) -> int:
    """The number of stored slots, with and without readings."""
    return sum((part.end_ms - part.begin_ms) // part.slot_ms for part in span.parts)


def _empty(steps: Steps) -> Span:
    return Span(steps.first_ms, steps.first_ms, steps.first_ms, 1000, [])


def _up(time_ms: int, slot_ms: int) -> int:
    return -(-time_ms // slot_ms) * slot_ms
