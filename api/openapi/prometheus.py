"""The operations of the Prometheus HTTP API."""

from __future__ import annotations

from typing import Any

from api.openapi import operation_parts as parts
from api.openapi.operation_parts import Part, closed, content, operation, query, ref, response
from api.prometheus.routes import PREFIX

_TEXT = {"type": "string"}
_STRINGS = {"type": "array", "items": _TEXT}
_TIME = {"type": "string", "description": "Seconds since 1970, or RFC 3339"}
_LIMIT = {"type": "integer", "minimum": 0}
_POINT = {
    "type": "array",
    "description": "Seconds since 1970, and a number as text",
    "items": {"type": ["number", "string"]},
    "minItems": 2,
    "maxItems": 2,
}
_LABELS = {"type": "object", "additionalProperties": _TEXT}
_FORM = "application/x-www-form-urlencoded"
_QUERY = """\
A subset of PromQL over windows and history; `docs/grafana.md` describes it. An instant selector
is the current value, or before it the mean of the narrowest slot; `*_over_time` are computed from
slots. `infos` in the response say where the slots do not make up a range exactly."""
_ERRORS = {
    400: "A parameter is invalid, or the query is not PromQL or not supported (`bad_data`)",
    401: "Missing or invalid token",
    403: "The token lacks the scope `collect`",
    422: "The query cannot be evaluated on what is stored (`execution`)",
    503: "The query took too long (`timeout`), or Redis or the history is unavailable",
}


def paths() -> dict[str, Any]:
    """The operations, by path and method."""
    window = [query("start", "Since when", _TIME), query("end", "Until when", _TIME)]
    limit = query("limit", "Maximum number of names or series; 0: all", _LIMIT)
    selectors = query("match[]", "Selectors of series; may be repeated", _STRINGS)
    listing = [*window, limit]
    run = [limit, query("timeout", "How long the query may take, such as 10s", _TEXT)]
    promql = _needed("query", "An expression in PromQL", _TEXT)
    step = _needed("step", "Time between two points, in seconds or such as 1m", _TEXT)
    span = [_needed("start", "First point", _TIME), _needed("end", "Last point", _TIME)]
    name = parts.path("name", {"type": "string", "pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"})
    both: dict[str, tuple[str, str, list[Part]]] = {
        "query": ("Query", "A query at one time", [promql, query("time", "When", _TIME), *run]),
        "query_range": ("QueryRange", "A query at many times", [promql, *span, step, *run]),
        "labels": ("Labels", "Names of labels", [selectors, *listing]),
        "series": ("Series", "Labels of series", [{**selectors, "required": True}, *listing]),
    }
    found: dict[str, Any] = {
        f"{PREFIX}/{path}": {
            "get": _get(f"get{id_}", summary, parameters),
            "post": _post(f"post{id_}", summary, parameters),
        }
        for path, (id_, summary, parameters) in both.items()
    }
    metadata = [
        query("metric", "Only this metric", _TEXT),
        query("limit", "Maximum number of metrics", _LIMIT),
        query("limit_per_metric", "Entries of a metric, which has one", _LIMIT),
    ]
    values = [name, selectors, *listing]
    found[f"{PREFIX}/label/{{name}}/values"] = {
        "get": _get("getLabelValues", "Values of a label", values)
    }
    found[f"{PREFIX}/metadata"] = {
        "get": _get("getMetadata", "Units and descriptions of metrics", metadata)
    }
    found[f"{PREFIX}/status/buildinfo"] = {
        "get": _get("getBuildInfo", "The version of Prometheus that Grafana adapts to", [])
    }
    return found


def schemas() -> dict[str, Part]:
    """The schemas of the responses."""
    remarks = {"infos": _STRINGS, "warnings": _STRINGS}
    vector = closed({"metric": _LABELS, "value": _POINT})
    matrix = closed({"metric": _LABELS, "values": {"type": "array", "items": _POINT}})
    results = {
        "scalar": _POINT,
        "vector": {"type": "array", "items": vector},
        "matrix": {"type": "array", "items": matrix},
    }
    evaluated = [
        closed({"resultType": {"const": kind}, "result": result})
        for kind, result in results.items()
    ]
    listed = {"type": ["array", "object"]}
    return {
        "PrometheusResult": closed(
            {"status": {"const": "success"}, "data": {"anyOf": [*evaluated, listed]}}, **remarks
        ),
        "PrometheusError": closed(
            {"status": {"const": "error"}, "errorType": _TEXT, "error": _TEXT}
        ),
    }


def _get(operation_id: str, summary: str, parameters: list[Part]) -> Part:
    return operation(
        operation_id,
        "collect",
        f"{summary}, as Prometheus does",
        _responses(),
        description=_QUERY if "uery" in operation_id else "",
        parameters=[{**each} for each in parameters],
    )


def _post(operation_id: str, summary: str, parameters: list[Part]) -> Part:
    fields = {each["name"]: each["schema"] for each in parameters}
    needed = [each["name"] for each in parameters if each.get("required")]
    form = {"type": "object", "properties": fields, "required": needed}
    return operation(
        operation_id,
        "collect",
        f"{summary}, with the parameters in the body",
        _responses(),
        requestBody={"required": bool(needed), **content(form, _FORM)},
    )


def _responses() -> Part:
    found = {"200": response("The result", ref("PrometheusResult"))}
    for status, description in _ERRORS.items():
        found[str(status)] = response(description, ref("PrometheusError"))
    found["503"]["headers"] = parts.RETRY
    return found


def _needed(name: str, description: str, schema: Part) -> Part:
    return {**query(name, description, schema), "required": True}
