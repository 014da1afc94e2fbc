"""The time span of a request, and the width of its slots. Pure; the time is an argument."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from api.read.sources import Part, Sources, in_history
from tributary.errors import Refused
from tributary.model import reading
from tributary.model.window import parse_duration_ms

SLOTS_MAX = 10_000
POINTS_MAX = 1_000  # of a chart whose request names no slot
_MINUTE_MS, _HOUR_MS, _DAY_MS = 60_000, 3_600_000, 86_400_000
_TIME_MAX_MS = 253_402_300_799_999  # the end of the year 9999, the last in RFC 3339
_WIDTHS_MS = (
    *(1_000, 2_000, 5_000, 10_000, 15_000, 30_000),
    *(n * _MINUTE_MS for n in (1, 2, 5, 10, 15, 30)),
    *(n * _HOUR_MS for n in (1, 2, 3, 4, 6, 8, 12)),
    *(n * _DAY_MS for n in (1, 2, 7, 14, 28, 56, 112, 224, 448, 896, 1792, 3584)),
)


class SpanRequest(NamedTuple):
    """A time span as requested: a length up to now, or two times; one of them is None."""

    name: str  # the parameter with the length, for messages
    length: str | None
    from_: str | None
    to: str | None
    slot: str | None

    def length_ms(self) -> int | None:
        """The length, if it is one."""
        return None if self.length is None else _duration_ms(self.name, self.length)

    def slot_ms(self) -> int | None:
        """Width of the slots, if the request names one."""
        return None if self.slot is None else _duration_ms("slot", self.slot)


class Span(NamedTuple):
    """The slots that overlap a time span, and where they come from."""

    begin_ms: int  # of the first slot
    end_ms: int  # of the last slot
    to_ms: int  # end of the covered time
    slot_ms: int
    parts: list[Part]


class _Bounds(NamedTuple):
    """A time span before it is divided into slots; `to_ms` None: up to now."""

    from_ms: int
    to_ms: int | None
    now_ms: int

    def slots(self, slot_ms: int) -> tuple[int, int]:
        """Start of the first, and end of the last slot that overlaps the span."""
        last_ms = self.now_ms if self.to_ms is None else self.to_ms - 1
        return self.from_ms // slot_ms * slot_ms, (last_ms // slot_ms + 1) * slot_ms

    def span(self, slot_ms: int, sources: Sources) -> Span | None:
        """The span in slots of this width; None if they are not kept."""
        begin_ms, end_ms = self.slots(slot_ms)
        parts = sources.parts(begin_ms, end_ms, slot_ms)
        if parts is None:
            return None
        covered_ms = self.now_ms if self.to_ms is None else min(end_ms, _TIME_MAX_MS)
        return Span(begin_ms, end_ms, covered_ms, slot_ms, parts)

    def count(self, slot_ms: int) -> int:
        """The number of its slots, with and without readings."""
        begin_ms, end_ms = self.slots(slot_ms)
        return (end_ms - begin_ms) // slot_ms


def check(wanted: SpanRequest) -> None:
    """Raise `Refused` (400) unless its durations and times are valid, whatever is kept."""
    wanted.length_ms()
    wanted.slot_ms()
    for name, text in (("from", wanted.from_), ("to", wanted.to)):
        if text is not None:
            _time_ms(name, text)


def whole(wanted: SpanRequest, sources: Sources) -> Span:
    """The span of statistics: slots of the window that covers it, else hours, else days.

    Raises:
        Refused: 400, it is invalid or longer than what is kept.
    """
    bounds = _bounds(wanted, sources.now_ms)
    _require_slots(sources)
    for slot_ms in _window_widths(bounds, sources):
        if span := bounds.span(slot_ms, sources):
            return span
    raise _too_long(wanted, sources)


def slots(wanted: SpanRequest, sources: Sources) -> Span:
    """The span of a chart: slots as requested, else at most `POINTS_MAX` of what is kept.

    A length that a window covers has the slots of that window.

    Raises:
        Refused: 400, it is invalid, too long, has more than `SLOTS_MAX` slots, or its slots are
            not kept.
    """
    bounds, slot_ms = _bounds(wanted, sources.now_ms), wanted.slot_ms()
    _require_slots(sources)
    if slot_ms is not None:
        return _as_requested(wanted, bounds, slot_ms, sources)
    first_ms = 0
    if wanted.length is not None:
        first_ms = next(_window_widths(bounds, sources))
        span = bounds.span(first_ms, sources)
        if span is not None and not in_history(span.parts):
            return span
    for slot_ms in _widths(sources):
        fits = slot_ms >= first_ms and bounds.count(slot_ms) <= POINTS_MAX
        if fits and (span := bounds.span(slot_ms, sources)):
            return span
    raise _too_long(wanted, sources)


def _as_requested(wanted: SpanRequest, bounds: _Bounds, slot_ms: int, sources: Sources) -> Span:
    span = bounds.span(slot_ms, sources)
    count = bounds.count(slot_ms)
    if span is not None and count <= SLOTS_MAX:
        return span
    possible = [
        width
        for width in _widths(sources)
        if bounds.count(width) <= SLOTS_MAX and bounds.span(width, sources)
    ]
    if not possible:
        raise _too_long(wanted, sources)
    smallest = duration(possible[0])
    if span is not None:
        rule = f"wide enough: it makes {count} slots, more than {SLOTS_MAX}; use {smallest} or more"
    else:
        rule = f"kept for all of this time span; use {smallest} or a multiple of it"
    raise _invalid("slot", wanted.slot, rule)


def duration(length_ms: int) -> str:
    """90000 → `90s`, 3600000 → `1h`."""
    for unit, unit_ms in (("d", _DAY_MS), ("h", _HOUR_MS), ("m", _MINUTE_MS)):
        if length_ms % unit_ms == 0:
            return f"{length_ms // unit_ms}{unit}"
    return f"{length_ms // 1000}s"


def _bounds(wanted: SpanRequest, now_ms: int) -> _Bounds:
    length_ms = wanted.length_ms()
    if length_ms is not None:
        return _Bounds(max(0, now_ms - length_ms), None, now_ms)
    from_ms = _time_ms("from", wanted.from_ or "")
    if wanted.to is None:
        if from_ms > now_ms:
            raise _invalid("from", wanted.from_, "in the past, and there is no to")
        return _Bounds(from_ms, None, now_ms)
    to_ms = _time_ms("to", wanted.to)
    if to_ms <= from_ms:
        raise _invalid("to", wanted.to, f"later than from={wanted.from_!r:.80}")
    return _Bounds(from_ms, to_ms, now_ms)


def _window_widths(bounds: _Bounds, sources: Sources) -> Iterator[int]:
    """The slots of the narrowest window that covers the length; beyond it, those of the history."""
    length_ms = bounds.now_ms - bounds.from_ms
    for window in sources.windows:
        if window.length_ms >= length_ms:
            yield window.slot_ms
            return
    first_ms = _HOUR_MS if length_ms >= _DAY_MS else _MINUTE_MS
    yield first_ms
    for kept in sources.kept:
        if kept.slot_ms > first_ms:
            yield kept.slot_ms


def _widths(sources: Sources) -> list[int]:
    """Widths of slots to choose from."""
    return sorted({*_WIDTHS_MS, *(window.slot_ms for window in sources.windows)})


def _duration_ms(name: str, text: str) -> int:
    try:
        return parse_duration_ms(text)
    except ValueError:
        raise _invalid(name, text, "a duration like 15m or 7d") from None


def _time_ms(name: str, text: str) -> int:
    number = reading.number_of(text)
    try:
        time_ms = reading.time_ms(text if number is None else number)
    except ValueError:
        raise _invalid(name, text, reading.TIME_RULE) from None
    if time_ms > _TIME_MAX_MS:
        raise _invalid(name, text, "before the year 10000")
    return time_ms


def _require_slots(sources: Sources) -> None:
    if sources.keep == "latest":
        raise Refused(
            "this metric has no windows and no history: the catalogue of metrics has keep = "
            '"latest" for it; read its current value, average and totals from '
            "/api/v1/devices/{device}, or change keep",
            status=400,
            code="not_kept",
            field="metric",
        )


def _too_long(wanted: SpanRequest, sources: Sources) -> Refused:
    name, text = (
        (wanted.name, wanted.length) if wanted.length is not None else ("from", wanted.from_)
    )
    if not sources.kept:
        longest = sources.windows[-1].name if sources.windows else "0s: no windows are kept"
        off = "TRIBUTARY_HISTORY=off keeps nothing older"
        if sources.keep == "windows":
            off = 'the catalogue of metrics has keep = "windows" for it, so nothing older is kept'
        rule = f"within the last {longest}; {off}"
    else:
        oldest = max((kept.keep_ms or 0 for kept in sources.kept), default=0)
        rule = (
            f"within the last {duration(oldest)}, for which TRIBUTARY_HISTORY_KEEP_DAYS keeps slots"
        )
    return _invalid(name, text, rule)


def _invalid(name: str, text: str | None, rule: str) -> Refused:
    return Refused(
        f"{name}={text!r:.80} is not {rule}", status=400, code=f"invalid_{name}", field=name
    )
