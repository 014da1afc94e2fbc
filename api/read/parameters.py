"""Parses the query parameters of a request: `Refused` (400) for an invalid value. Pure."""

from __future__ import annotations

from typing import NamedTuple

from api.read import query
from api.read.units import UNITS, UnitPreference
from tributary.errors import Refused
from tributary.model import reading
from tributary.model.aggregate import Layout
from tributary.model.window import parse_duration_ms

PAGE_MAX = 1000
PAGE_DEFAULT = 100
WINDOW_DEFAULT, HISTORY_DEFAULT = "15m", "1h"


class Span(NamedTuple):
    """A length of time as written in the request, and the index of the window that covers it."""

    name: str
    length_ms: int
    window: int


def limit(text: str | None) -> int:
    """Maximum number of devices in a page."""
    if text is None:
        return PAGE_DEFAULT
    if not is_number(text, PAGE_MAX):
        raise _invalid("limit", text, f"a number from 1 to {PAGE_MAX}")
    return int(text)


def is_number(text: str, maximum: int) -> bool:
    """Whether the text is a number from 1 to `maximum`."""
    is_short = text.isascii() and text.isdecimal() and len(text) <= len(str(maximum))
    return is_short and 1 <= int(text) <= maximum


def metrics(text: str | None) -> list[str] | None:
    """Distinct metric names in the order given; None for all."""
    if text is None:
        return None
    names = list(dict.fromkeys(text.split(",")))
    if len(names) > reading.METRICS_MAX or not all(map(reading.is_metric, names)):
        raise _invalid("metrics", text, f"1 to {reading.METRICS_MAX} metric names, like a,b")
    return names


def units(text: str | None) -> list[str]:
    """Units to convert to, at most one of each kind."""
    if text is None:
        return []
    names = text.split(",")
    kinds = {UNITS[name].kind for name in names if name in UNITS}
    if len(kinds) != len(names):
        raise _invalid("unit", text, f"one unit of each kind, from {', '.join(UNITS)}")
    return names


def check_unit(metric: str, preference: UnitPreference) -> None:
    """Raise unless a metric has one of the preferred units or can be converted to one."""
    if preference.for_metric(metric)[0] not in preference.units:
        unit = preference.catalogue[metric].unit or "unknown"
        wanted = ",".join(preference.units)
        raise _invalid("unit", wanted, f"a unit for {metric!r:.80}, whose unit is {unit}")


def span(text: str, layout: Layout, name: str = "window") -> Span:
    """A duration that is not longer than the longest window; `name` is that of the parameter."""
    try:
        length_ms = parse_duration_ms(text)
    except ValueError:
        length_ms = 0
    number = query.narrowest(layout, length_ms) if length_ms else None
    if number is None:
        longest = layout.windows[-1].name if layout.windows else "0s: no windows are kept"
        raise _invalid(name, text, f"a duration like 15m, at most {longest}")
    return Span(text, length_ms, number)


def _invalid(name: str, text: str, rule: str) -> Refused:
    return Refused(
        f"{name}={text!r:.80} is not {rule}", status=400, code=f"invalid_{name}", field=name
    )
