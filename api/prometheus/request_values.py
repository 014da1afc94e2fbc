"""Parses the parameters of a request: `Refused` (400) for an invalid one. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

import promql_parser as syntax

from api.prometheus import bounds, promql
from api.prometheus.bounds import bad_data
from api.prometheus.matching import Selection
from api.prometheus.resolution import Steps
from tributary.model import reading

_TIME_MAX_MS = 253_402_300_799_999  # the end of the year 9999
_DURATION_MAX_MS = 100 * 365 * 86_400_000
_LIMIT_MAX = 1_000_000_000
_ALL = Selection([])


class Listing(NamedTuple):
    """A request for names: what to list, since when devices have to have recorded, and how many."""

    selections: list[Selection]
    start_ms: int
    limit: int


def query(values: Mapping[str, str]) -> str:
    """The PromQL of a request."""
    if "lookback_delta" in values:
        raise bad_data("lookback_delta is not supported: it is always 5m", "lookback_delta")
    return _needed(values, "query")


def instant(values: Mapping[str, str], now_ms: int) -> Steps:
    """The time of an instant query; by default now."""
    time_ms = _time_ms("time", values.get("time") or str(now_ms / 1000))
    return Steps(time_ms, time_ms, 0)


def over_time(values: Mapping[str, str]) -> Steps:
    """The times of a range query."""
    first_ms, last_ms = (_time_ms(name, _needed(values, name)) for name in ("start", "end"))
    if last_ms < first_ms:
        raise bad_data(f"end={values['end']!r:.40} is earlier than start", "end")
    step_ms = _duration_ms("step", _needed(values, "step"))
    if (last_ms - first_ms) // step_ms > bounds.POINTS_MAX:
        fitting_s = -(-(last_ms - first_ms) // (bounds.POINTS_MAX * 1000))
        raise bad_data(
            f"step={values['step']!r:.40} makes more than {bounds.POINTS_MAX} points of a series; "
            f"use {fitting_s}s or more",
            "step",
        )
    return Steps(first_ms, last_ms, step_ms)


def run_ms(values: Mapping[str, str]) -> int:
    """How long the query may take: `timeout`, up to the limit of the server."""
    text = values.get("timeout")
    if not text:
        return bounds.RUN_MAX_MS
    return min(bounds.RUN_MAX_MS, _duration_ms("timeout", text))


def limit(values: Mapping[str, str], maximum: int) -> int:
    """How many series or names are wanted; 0 or absent: as many as there may be."""
    text = values.get("limit") or "0"
    return min(maximum, _count("limit", text) or maximum)


def entries(values: Mapping[str, str], name: str) -> int:
    """A limit of metadata; negative or absent: none."""
    text = values.get(name) or "-1"
    return _LIMIT_MAX if text.startswith("-") else _count(name, text)


def listing(values: Mapping[str, str], matches: Sequence[str], *, is_needed: bool) -> Listing:
    """The series whose names are wanted; without `match[]` all, if it is not needed."""
    if not matches and is_needed:
        raise bad_data("match[] is missing; send at least one selector", "match[]")
    if len(matches) > bounds.SELECTORS_MAX:
        raise bad_data(
            f"there are {len(matches)} match[]; send at most {bounds.SELECTORS_MAX}", "match[]"
        )
    start_ms = _time_ms("start", values.get("start") or "0")
    end_ms = _time_ms("end", values.get("end") or str(_TIME_MAX_MS // 1000))
    if end_ms < start_ms:
        raise bad_data(f"end={values['end']!r:.40} is earlier than start", "end")
    selections = [promql.parse_selector(each) for each in matches] or [_ALL]
    return Listing(selections, start_ms, limit(values, bounds.NAMES_MAX))


def _needed(values: Mapping[str, str], name: str) -> str:
    text = values.get(name)
    if not text:
        raise bad_data(f"{name} is missing", name)
    return text


def _time_ms(name: str, text: str) -> int:
    """Seconds since 1970, or RFC 3339."""
    seconds = _number(text)
    try:
        time_ms = reading.time_ms(text) if seconds is None else round(seconds * 1000)
    except (ValueError, OverflowError):
        time_ms = -1
    if not 0 <= time_ms <= _TIME_MAX_MS:
        raise bad_data(
            f"{name}={text!r:.40} is not a time; use seconds since 1970 or RFC 3339", name
        )
    return time_ms


def _duration_ms(name: str, text: str) -> int:
    """Seconds, or a duration like 1m30s; at least a millisecond."""
    seconds = _number(text)
    try:
        if seconds is None:
            length_ms = syntax.parse_duration(text) // timedelta(milliseconds=1)
        else:
            length_ms = int(seconds * 1000)
    except (ValueError, OverflowError):
        length_ms = 0
    if not 1 <= length_ms <= _DURATION_MAX_MS:
        raise bad_data(
            f"{name}={text!r:.40} is not a duration; use seconds or a duration like 1m30s", name
        )
    return length_ms


def _number(text: str) -> float | None:
    """A finite number in decimal notation."""
    try:
        number = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _count(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text[:11]) <= _LIMIT_MAX):
        raise bad_data(f"{name}={text!r:.40} is not a number from 0 to {_LIMIT_MAX}", name)
    return int(text)
