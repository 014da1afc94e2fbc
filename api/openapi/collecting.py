"""The operations of the read API."""

from __future__ import annotations

from typing import Any

from api.live.subscription import DEVICES_MAX
from api.live.subscription import PAGE_DEFAULT as LIVE_PAGE_DEFAULT
from api.openapi import operation_parts as parts
from api.openapi.operation_parts import Part, query, schema
from api.read import bodies
from api.read.parameters import HISTORY_DEFAULT, PAGE_DEFAULT, PAGE_MAX, WINDOW_DEFAULT
from api.read.units import UNITS
from tributary.model import reading
from tributary.settings import Settings

_DEVICES = "/api/v1/devices"
_DEVICE = f"{_DEVICES}/{{device}}"
_METRIC = f"{_DEVICE}/metrics/{{metric}}"
_COLLECT = """\
The current values as the aggregators store them, at the cost of one lookup.
Without a device: those of readings without a device; null if there are none."""
_WINDOW = """\
Covers the slots that overlap the window up to now; `from` and `to` are the covered time.
The window of a silent sensor empties over time."""
_LIVE = """\
First the current values of the devices, then each change, at most 10 per second and device. The
response does not end.
Select devices by name, or a page of the list of devices, which new devices join."""


def paths(settings: Settings) -> dict[str, Any]:
    """The operations, by path."""
    return {
        "/collect": {"get": _collect("collect"), "post": _collect("collectByPost")},
        _DEVICES: {"get": _devices()},
        _DEVICE: {"get": _device()},
        _METRIC: {"get": _metric(settings)},
        f"{_METRIC}/history": {"get": _history(settings)},
        "/api/v1/live": {"get": _live()},
    }


def _collect(operation_id: str) -> Part:
    is_get = operation_id == "collect"
    ok = (parts.cached if is_get else parts.ok)("Collected", "The current values")
    given = [query("device", "Name of a device", schema(bodies.Device)), _metrics(), _unit()]
    return parts.operation(
        operation_id,
        "collect",
        "Current value and average of every metric" if is_get else "The same, for old clients",
        {**ok, **_errors()},
        description=_COLLECT,
        parameters=[*given, _if_none_match()] if is_get else given,
    )


def _devices() -> Part:
    links = {
        "following": _link("listDevices", after="next"),
        "first": _link("getDevice", device="devices/0/device"),
    }
    return parts.operation(
        "listDevices",
        "collect",
        "Devices in alphabetical order",
        {
            **parts.ok("Devices", "A page; pass `next` as `after` until it is null", links=links),
            **parts.errors(400, 401, 403, 503),
        },
        parameters=_page(PAGE_DEFAULT, PAGE_MAX),
    )


def _device() -> Part:
    return parts.operation(
        "getDevice",
        "collect",
        "Every metric of a device: current, average, total and windows",
        {**parts.cached("WholeDevice", "The device"), **_errors()},
        parameters=[_of_device(), _metrics(), _unit(), _if_none_match()],
    )


def _metric(settings: Settings) -> Part:
    return parts.operation(
        "getMetric",
        "collect",
        "Statistics of a metric over a window",
        {**parts.cached("MetricWindow", "The statistics"), **_errors()},
        description=_WINDOW,
        parameters=[*_of_metric(), _span(WINDOW_DEFAULT, settings), _unit(), _if_none_match()],
    )


def _history(settings: Settings) -> Part:
    return parts.operation(
        "getHistory",
        "collect",
        "The slots of a metric, for a chart",
        {**parts.cached("History", "All slots, oldest first, including empty ones"), **_errors()},
        parameters=[*_of_metric(), _span(HISTORY_DEFAULT, settings), _unit(), _if_none_match()],
    )


def _live() -> Part:
    events = {
        "description": "Events `reading` with the `/collect` object as data, and comments",
        **parts.content({"type": "string"}, "text/event-stream"),
    }
    devices = {"type": "array", "maxItems": DEVICES_MAX, "items": schema(bodies.Device)}
    return parts.operation(
        "watch",
        "collect",
        "New values as server-sent events",
        {"200": events, **_errors(), **parts.errors(501)},
        description=_LIVE,
        parameters=[
            query("device", "Name of a device; may be repeated", devices),
            *_page(LIVE_PAGE_DEFAULT, DEVICES_MAX),
            parts.header("Last-Event-ID", "Id of the last event received", {"type": "string"}),
        ],
    )


def _page(default: int, maximum: int) -> list[Part]:
    limit = {"type": "integer", "minimum": 1, "maximum": maximum, "default": default}
    return [
        query("prefix", "Only devices whose names start with it", {"type": "string"}),
        query("after", "Only devices after this name", {"type": "string"}),
        query("limit", "Maximum number of devices in the page", limit),
    ]


def _link(operation_id: str, **parameters: str) -> Part:
    """A link to another operation: its parameters by their location in the response."""
    found = {name: f"$response.body#/{place}" for name, place in parameters.items()}
    return {"operationId": operation_id, "parameters": found}


def _errors() -> Part:
    return parts.errors(400, 401, 403, 404, 503)


def _of_device() -> Part:
    return parts.path("device", schema(bodies.Device))


def _of_metric() -> list[Part]:
    return [_of_device(), parts.path("metric", schema(bodies.MetricName))]


def _metrics() -> Part:
    name = reading.METRIC_PATTERN
    names = {"type": "string", "pattern": f"^{name}(,{name}){{0,7}}$"}
    description = f"Only these metrics, in this order; up to {reading.METRICS_MAX} names"
    return query("metrics", description, names)


def _unit() -> Part:
    kinds: dict[str, list[str]] = {}
    for name, unit in UNITS.items():
        kinds.setdefault(unit.kind, []).append(name)
    temperatures, speeds = ("|".join(names) for names in kinds.values())
    pattern = f"^(({temperatures})(,({speeds}))?|({speeds})(,({temperatures}))?)$"
    description = "Convert to a unit of temperature or speed, or one of each separated by a comma"
    return query("unit", description, {"type": "string", "pattern": pattern})


def _span(default: str, settings: Settings) -> Part:
    windows = [window.name for window in settings.parsed_windows] or ["0s"]
    description = (
        f"Time up to now, at most {windows[-1]}; slots are finest for {', '.join(windows)}"
    )
    return query("window", description, {**schema(bodies.Duration), "default": default})


def _if_none_match() -> Part:
    return parts.header("If-None-Match", "ETag of the cached response", {"type": "string"})
