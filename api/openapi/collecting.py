"""The routes of the read API."""

from __future__ import annotations

from typing import Any

from api.live.subscription import DEVICES_MAX, PAGE_DEFAULT
from api.openapi import parts
from api.openapi.parts import Part, query, ref
from api.read.parameters import PAGE_MAX
from tributary.settings import Settings

_DEVICES = "/api/v1/devices"
_DEVICE = f"{_DEVICES}/{{device}}"
_METRIC = f"{_DEVICE}/metrics/{{metric}}"
_COLLECT = """\
What the aggregators keep ready, at the cost of one look-up.
Without a device it is that of readings that named none, and null while there are none."""
_WINDOW = """\
Over the slots that overlap the window, counted back from the moment of asking; `from` and `to` say
which time that is. So the window of a silent sensor empties by itself."""
_LIVE = """\
What the devices read already, then each change, at most 10 a second of a device; it has no end.
Either devices by name, or a page of the list of devices with those that join it."""


def paths(settings: Settings) -> dict[str, Any]:
    """The operations of the api role."""
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
    meaning = "Its newest values"
    told = parts.cached("Collected", meaning) if is_get else parts.answer("Collected", meaning)
    asked = [query("device", "Name of a device", ref("Device")), _metrics(), _unit()]
    return parts.operation(
        operation_id,
        "collect",
        "Current value and average of every metric" if is_get else "The same, as old clients ask",
        {**told, **_errors()},
        description=_COLLECT,
        parameters=[*asked, _if_none_match()] if is_get else asked,
    )


def _devices() -> Part:
    limit = {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": 100}
    return parts.operation(
        "listDevices",
        "collect",
        "Devices in alphabetical order",
        {
            **parts.answer(
                "Devices",
                "A page; pass `next` on as `after` until it is null",
                links={
                    "following": _link("listDevices", after="next"),
                    "first": _link("getDevice", device="devices/0/device"),
                },
            ),
            **parts.errors(400, 401, 403, 503),
        },
        parameters=_page(limit),
    )


def _device() -> Part:
    return parts.operation(
        "getDevice",
        "collect",
        "Every metric of a device: current, average, total and windows",
        {**parts.cached("WholeDevice", "What is known of it"), **_errors()},
        parameters=[_of_device(), _metrics(), _unit(), _if_none_match()],
    )


def _metric(settings: Settings) -> Part:
    return parts.operation(
        "getMetric",
        "collect",
        "Statistics of one metric over a window",
        {**parts.cached("MetricWindow", "The statistics"), **_errors()},
        description=_WINDOW,
        parameters=[*_of_metric(), _span("15m", settings), _unit(), _if_none_match()],
    )


def _history(settings: Settings) -> Part:
    return parts.operation(
        "getHistory",
        "collect",
        "The slots of one metric, for a chart",
        {**parts.cached("History", "Every slot, oldest first, empty ones too"), **_errors()},
        parameters=[*_of_metric(), _span("1h", settings), _unit(), _if_none_match()],
    )


def _live() -> Part:
    events = {
        "description": "Events `reading` with the `/collect` object as data; comments in between",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
    named = {"type": "array", "maxItems": DEVICES_MAX, "items": ref("Device")}
    limit = {"type": "integer", "minimum": 1, "maximum": DEVICES_MAX, "default": PAGE_DEFAULT}
    return parts.operation(
        "watch",
        "collect",
        "New values as server-sent events",
        {"200": events, **_errors(), **parts.errors(501)},
        description=_LIVE,
        parameters=[
            query("device", "Devices by name, each in a field of its own", named),
            *_page(limit),
            parts.header("Last-Event-ID", "The last event that was seen", {"type": "string"}),
        ],
    )


def _page(limit: Part) -> list[Part]:
    return [
        query("prefix", "Only devices whose names begin so", {"type": "string"}),
        query("after", "Only devices that come after this name", {"type": "string"}),
        query("limit", "Most devices in the page", limit),
    ]


def _link(operation_id: str, **parameters: str) -> Part:
    """Where to go from an answer: parameters of another operation, by their place in it."""
    found = {name: f"$response.body#/{place}" for name, place in parameters.items()}
    return {"operationId": operation_id, "parameters": found}


def _errors() -> Part:
    return parts.errors(400, 401, 403, 404, 503)


def _of_device() -> Part:
    return parts.path("device", ref("Device"))


def _of_metric() -> list[Part]:
    return [_of_device(), parts.path("metric", ref("MetricName"))]


def _metrics() -> Part:
    return query("metrics", "Only these metrics, in this order", ref("MetricNames"))


def _unit() -> Part:
    return query("unit", "Units to convert to, from those of the catalogue", ref("Units"))


def _span(default: str, settings: Settings) -> Part:
    longest = settings.parsed_windows[-1].name if settings.parsed_windows else "none is kept"
    kept = ", ".join(window.name for window in settings.parsed_windows)
    meaning = f"How far back, at most {longest}; the slots are finest for {kept}"
    return query("window", meaning, {**ref("Duration"), "default": default})


def _if_none_match() -> Part:
    return parts.header("If-None-Match", "ETag of the answer that is there", {"type": "string"})
