"""Parses the query parameters of a request: `Refused` (400) for an invalid value. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from api.read import span
from api.read.fleet_snapshot import BY_AGE, BY_NAME, STATES, FleetRequest
from api.read.span import SpanRequest
from api.read.units import UNITS, UnitPreference
from tributary.errors import Refused
from tributary.model import reading

PAGE_MAX = 1000
PAGE_DEFAULT = 100
FLEET_MAX, FLEET_DEFAULT, OFFSET_MAX = 200, 50, 9_999_999
BY_METRIC = "metric:"  # in front of the name of a metric to sort by
WINDOW_DEFAULT, HISTORY_DEFAULT = "15m", "1h"


def limit(text: str | None, default: int = PAGE_DEFAULT, maximum: int = PAGE_MAX) -> int:
    """Maximum number of devices in a page."""
    if text is None:
        return default
    if not is_number(text, maximum):
        raise _invalid("limit", text, f"a number from 1 to {maximum}")
    return int(text)


def fleet(arguments: Mapping[str, str]) -> FleetRequest:
    """Filters, order and page of the list of devices."""
    search, offset = arguments.get("search", ""), arguments.get("offset", "0")
    if len(search) > reading.DEVICE_MAX:
        raise _invalid("search", search, f"at most {reading.DEVICE_MAX} characters")
    state = next((each for each in STATES if each == arguments.get("state", "all")), None)
    if state is None:
        raise _invalid("state", arguments["state"], f"one of {', '.join(STATES)}")
    sort, order = arguments.get("sort", BY_NAME), arguments.get("order", "asc")
    metric = sort.removeprefix(BY_METRIC) if sort.startswith(BY_METRIC) else None
    if metric is None and sort not in {BY_NAME, BY_AGE}:
        raise _invalid("sort", sort, f"{BY_NAME}, {BY_AGE} or {BY_METRIC}NAME")
    if order not in {"asc", "desc"}:
        raise _invalid("order", order, "asc or desc")
    if offset != "0" and not is_number(offset, OFFSET_MAX):
        raise _invalid("offset", offset, f"a number from 0 to {OFFSET_MAX}")
    rows = limit(arguments.get("limit"), FLEET_DEFAULT, FLEET_MAX)
    return FleetRequest(search, state, metric, sort, order == "desc", int(offset), rows)


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


def length(arguments: Mapping[str, str], name: str) -> SpanRequest:
    """The length of time of statistics, like window=15m; `name` is that of the parameter."""
    for other in ("from", "to", "slot"):
        if other in arguments:
            raise _invalid(other, arguments[other], f"possible here; use {name}, or /history")
    return _checked(SpanRequest(name, arguments.get(name, WINDOW_DEFAULT), None, None, None))


def chart(arguments: Mapping[str, str]) -> SpanRequest:
    """The time span of a chart, window or from and to, and its slots."""
    from_, to, slot = (arguments.get(name) for name in ("from", "to", "slot"))
    if from_ is None and to is None:
        window = arguments.get("window", HISTORY_DEFAULT)
        return _checked(SpanRequest("window", window, None, None, slot))
    if "window" in arguments:
        raise _invalid("window", arguments["window"], "possible together with from and to")
    if from_ is None:
        raise _invalid("to", to or "", "possible without from")
    return _checked(SpanRequest("window", None, from_, to, slot))


def _checked(wanted: SpanRequest) -> SpanRequest:
    """Raise unless its durations and times are valid, whatever is kept."""
    span.check(wanted)
    return wanted


def _invalid(name: str, text: str, rule: str) -> Refused:
    return Refused(
        f"{name}={text!r:.80} is not {rule}", status=400, code=f"invalid_{name}", field=name
    )
