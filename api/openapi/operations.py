"""The operations of all routes.

Examples are added to the parts of each operation, so no two operations share a part.
"""

from __future__ import annotations

from typing import Any

from api.live.subscription import ALL_ALERTS, DEVICES_MAX
from api.live.subscription import PAGE_DEFAULT as LIVE_PAGE_DEFAULT
from api.openapi import alerts, doors, exports, fleet, prometheus
from api.openapi import operation_parts as parts
from api.openapi.doors import senml
from api.openapi.operation_parts import JSON, Part, header, operation, query, ref, response, schema
from api.read import bodies, silence_handlers
from api.read.parameters import HISTORY_DEFAULT, PAGE_DEFAULT, PAGE_MAX, WINDOW_DEFAULT
from api.read.span import POINTS_MAX, SLOTS_MAX
from api.read.units import UNITS
from tributary.model import reading
from tributary.settings import Settings

_TEXT = {"type": "string"}
_TIME = {"type": "string", "description": reading.TIME_RULE}
_DEVICES = "/api/v1/devices"
_DEVICE = f"{_DEVICES}/{{device}}"
_METRIC = f"{_DEVICE}/metrics/{{metric}}"
_RECORD = """\
One reading, several, or columns. JSON needs no `Content-Type`: the defaults of `curl -d` and
`fetch` are accepted as JSON. The body may be compressed with gzip.

Numbers as text and booleans are numbers; null and other text are left out and listed as `ignored`.
Nested objects are flattened with dots. The device may also be called `device_id`, `deviceName` and
the like, and the time `ts`, `timestamp` or `time`; `docs/http.md` has all names.

A 200 response means that Redis has every reading of the request.
A request without a response may or may not have been stored: repeat it with the same
`Idempotency-Key`, and it is counted once."""
_RECORD_BY_GET = """\
For devices that can only request a URL, such as Shelly. Every other parameter is a metric, like
`temperature` here. Where no token is required, a request that a browser marks as cross-site is
rejected."""
_COLLECT = """\
The current values as the aggregators store them, at the cost of one lookup.
Without a device: those of readings without a device; null if there are none."""
_WINDOW = """\
Covers the slots that overlap the window up to now; `from` and `to` are the covered time.
The window of a silent sensor empties over time.

Windows longer than those in Redis continue in the history: every reading counts once, and
`complete_until` and `gaps` show what the history lacks.
A metric with `keep = "latest"` in the catalogue of metrics has neither: 400 `not_kept`."""
_HISTORY = """\
Slots without readings are absent. Slots are aligned to 1970, UTC: those of a day begin at midnight.

Without `slot`, a window that Redis keeps has the slots of the deployment, and everything else the
narrowest slots that make at most {points} points. The history keeps slots of a minute, an hour and a
day for different times; `slot` may be a multiple of those that are kept for all of the time span."""
_LIVE = """\
First the current values of the devices, then each change, at most 10 per second and device. The
response does not end.
Select devices by name, or a page of the list of devices, which new devices join."""
_STATUS = """\
Counts are readings since the data was created:
accepted = applied + late + dead + lost + pending.
The response is at most a second old. It covers the whole deployment, whatever devices the token
is for."""


def paths(settings: Settings) -> dict[str, Any]:
    """The operations, by path and method."""
    return {
        "/record": {"post": _record(settings), "get": _record_by_get()},
        **doors.paths(settings),
        "/collect": {"get": _collect("collect"), "post": _collect("collectByPost")},
        **{path: {"get": one} for path, one in _reading(settings).items()},
        silence_handlers.PATH: alerts.silences(),
        **exports.paths(),
        **prometheus.paths(),
        "/api/v1/live": {"get": _live()},
        **{path: {"get": one} for path, one in _operating().items()},
    }


def _record(settings: Settings) -> Part:
    ttl_s = settings.idempotency_ttl_ms // 1000
    key = f"Identifies the request: repeated within {ttl_s} s, it is not counted again"
    skip = "`skip` stores the valid readings of a batch and lists the others as rejected"
    choice = {"type": "string", "enum": ["refuse", "skip"], "default": "refuse"}
    lines = {"type": "string", "description": "One reading per line", "minLength": 2}
    forms = {"anyOf": [ref(form) for form in ("Reading", "Batch", "Columns")]}
    accepted = {JSON: {"schema": forms}, "application/x-ndjson": {"schema": lines}}
    accepted["application/x-www-form-urlencoded"] = {"schema": ref("Form")}
    accepted[senml.MEDIA_TYPE] = {"schema": senml.PACK}
    ok = parts.ok("Recorded", "Redis has the readings")
    return operation(
        "record",
        "record",
        "Record readings",
        {**ok, **parts.errors(400, 401, 403, 413, 415, 422, 429, 503)},
        description=_RECORD,
        parameters=[
            query("on_error", skip, choice),
            {
                **header("Idempotency-Key", key, {**_TEXT, "minLength": 1, "maxLength": 255}),
                "x-lifetime-ms": settings.idempotency_ttl_ms,
            },
        ],
        requestBody={"required": True, "content": accepted},
    )


def _record_by_get() -> Part:
    time = "Time of the reading; by default that of arrival"
    temperature = query("temperature", "A metric", {"type": ["number", "boolean"]})
    return operation(
        "recordByGet",
        "record",
        "Record one reading with a URL",
        {
            **parts.ok("Recorded", "Redis has the reading"),
            **parts.errors(400, 401, 403, 405, 422, 429, 503),
        },
        description=_RECORD_BY_GET,
        parameters=[
            query("device", "Name of the device", schema(bodies.Device)),
            query("recorded_at", time, ref("ReadingTime")),
            {**temperature, "required": True},
            query("token", "Where the client cannot send header fields", _TEXT),
        ],
    )


def _collect(operation_id: str) -> Part:
    is_get = operation_id == "collect"
    ok = (parts.cached if is_get else parts.ok)("Collected", "The current values")
    device = query("device", "Name of a device", schema(bodies.Device))
    return operation(
        operation_id,
        "collect",
        "Current value and average of every metric" if is_get else "The same, for old clients",
        {**ok, **_errors()},
        description=_COLLECT,
        parameters=[device, _metrics(), *(_shown() if is_get else [_unit()])],
    )


def _reading(settings: Settings) -> dict[str, Part]:
    links = {
        "following": _link("listDevices", after="next"),
        "first": _link("getDevice", device="devices/0/device"),
    }
    page = parts.ok("Devices", "A page; pass `next` as `after` until it is null", links=links)
    return {
        _DEVICES: operation(
            "listDevices",
            "collect",
            "Devices in alphabetical order",
            {**page, **parts.errors(400, 401, 403, 503)},
            parameters=_page(PAGE_DEFAULT, PAGE_MAX),
        ),
        "/api/v1/fleet": fleet.operation(),
        "/api/v1/alerts": alerts.operation(),
        _DEVICE: operation(
            "getDevice",
            "collect",
            "Every metric of a device: current, average, total and windows",
            {**parts.cached("WholeDevice", "The device"), **_errors()},
            parameters=[_of_device(), _metrics(), *_shown()],
        ),
        _METRIC: operation(
            "getMetric",
            "collect",
            "Statistics of a metric over a window",
            {**parts.cached("MetricWindow", "The statistics"), **_errors()},
            description=_WINDOW,
            parameters=[*_of_metric(), _length(WINDOW_DEFAULT, settings), *_shown()],
        ),
        f"{_METRIC}/history": _history(settings),
    }


def _history(settings: Settings) -> Part:
    return operation(
        "getHistory",
        "collect",
        "The slots of a metric, for a chart",
        {**parts.cached("History", "The slots with readings, oldest first"), **_errors()},
        description=_HISTORY.format(points=POINTS_MAX),
        parameters=[
            *_of_metric(),
            _length(HISTORY_DEFAULT, settings),
            query("from", "Start of the time span, instead of window", _TIME),
            query("to", "End of the time span; by default now", _TIME),
            query(
                "slot",
                f"Width of the slots, of which there may be {SLOTS_MAX}",
                schema(bodies.Duration),
            ),
            *_shown(),
        ],
    )


def _live() -> Part:
    events = "Events `reading` as `/collect`, `alert` as in `/api/v1/alerts`, and comments"
    devices = {"type": "array", "maxItems": DEVICES_MAX, "items": schema(bodies.Device)}
    return operation(
        "watch",
        "collect",
        "New values as server-sent events",
        {
            "200": response(events, _TEXT, "text/event-stream"),
            **_errors(),
            **parts.errors(501),
        },
        description=_LIVE,
        parameters=[
            query("device", "Name of a device; may be repeated", devices),
            query("alerts", "Send the alerts of all devices", {"const": ALL_ALERTS}),
            *_page(LIVE_PAGE_DEFAULT, DEVICES_MAX),
            header("Last-Event-ID", "Id of the last event received", _TEXT),
        ],
    )


def _operating() -> dict[str, Part]:
    status = {**parts.ok("Status", "The status of the deployment"), **parts.errors(401, 403, 503)}
    text = {"200": response("Prometheus text", _TEXT, "text/plain")}
    metrics = {**text, **parts.errors(401, 403, 503)}
    ready = {
        **parts.ok("Ready", "The process is ready"),
        "503": response("The process is not ready", ref("NotReady")),
    }
    document = {"type": "object", "required": ["openapi", "paths"]}
    this = {"200": response("This document", document)}
    tag, liveness = "operate", "Liveness; makes no request to Redis"
    return {
        "/api/v1/status": operation(
            "getStatus", tag, "Counts, lag and aggregators", status, description=_STATUS
        ),
        "/healthz": operation("isHealthy", tag, liveness, parts.ok("Healthy", "Up")),
        "/readyz": operation("isReady", tag, "Readiness", ready),
        "/metrics": operation("getMetrics", tag, "Metrics for Prometheus", metrics),
        "/openapi.json": operation("getDocument", tag, "This document", this),
    }


def _page(default: int, maximum: int) -> list[Part]:
    limit = {"type": "integer", "minimum": 1, "maximum": maximum, "default": default}
    return [
        query("prefix", "Only devices whose names start with it", _TEXT),
        query("after", "Only devices after this name", _TEXT),
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
    description = f"Only these metrics, in this order; up to {reading.METRICS_MAX} names"
    return query("metrics", description, {**_TEXT, "pattern": f"^{name}(,{name}){{0,7}}$"})


def _unit() -> Part:
    kinds: dict[str, list[str]] = {}
    for name, unit in UNITS.items():
        kinds.setdefault(unit.kind, []).append(name)
    temperatures, speeds = ("|".join(names) for names in kinds.values())
    pattern = f"^(({temperatures})(,({speeds}))?|({speeds})(,({temperatures}))?)$"
    description = "Convert to a unit of temperature or speed, or one of each separated by a comma"
    return query("unit", description, {**_TEXT, "pattern": pattern})


def _length(default: str, settings: Settings) -> Part:
    windows = [window.name for window in settings.parsed_windows] or ["0s"]
    limit = f", at most {windows[-1]}" if settings.history == "off" else ""
    description = f"Time up to now{limit}; slots are finest for {', '.join(windows)}"
    return query("window", description, {**schema(bodies.Duration), "default": default})


def _shown() -> list[Part]:
    return [_unit(), header("If-None-Match", "ETag of the cached response", _TEXT)]
