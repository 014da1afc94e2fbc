"""The routes under /prometheus/api/v1, and their errors."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from typing import Any, NamedTuple

from flask import Blueprint, Response, g, request

from api.prometheus import bounds, promql, request_values, response
from api.prometheus.bounds import Deadline, QueryTimeout, bad_data
from api.prometheus.evaluate import Evaluator
from api.prometheus.gate import Gate
from api.prometheus.request_values import Listing
from api.prometheus.resolution import Steps
from api.prometheus.series_index import Known, SeriesIndex
from api.read.series_reader import SeriesReader
from tributary.auth.guard import Guard
from tributary.errors import TributaryError
from tributary.http import flask_app
from tributary.settings import Settings

PREFIX = "/prometheus/api/v1"
# Grafana adapts its requests to this version of Prometheus.
_BUILD = {
    "version": "2.55.0",
    "revision": "",
    "branch": "",
    "buildUser": "",
    "buildDate": "",
    "goVersion": "",
}
_KINDS = {400: "bad_data", 401: "unauthorized", 403: "forbidden", 422: "execution"}
_LABEL = re.compile("[a-zA-Z_][a-zA-Z0-9_]*")
_TRUNCATED = "results truncated due to limit"
_BOTH = ("GET", "POST")


def blueprint(settings: Settings, guard: Guard, reader: SeriesReader) -> Blueprint:
    """Every route, for tokens with the scope collect."""
    handlers = _Handlers(reader, Gate(max(1, settings.http_threads // 2)))
    routes = Blueprint("prometheus", __name__, url_prefix=PREFIX)
    routes.before_request(flask_app.require_scope(guard, "collect"))
    routes.register_error_handler(TributaryError, _on_error)
    for path, handler in (
        ("query", handlers.query),
        ("query_range", handlers.query_range),
        ("labels", handlers.labels),
        ("series", handlers.series),
    ):
        routes.add_url_rule(f"/{path}", view_func=handler, methods=_BOTH)
    routes.add_url_rule("/label/<name>/values", view_func=handlers.label_values)
    routes.add_url_rule("/metadata", view_func=handlers.metadata)
    routes.add_url_rule("/status/buildinfo", view_func=handlers.build_info)
    return routes


class _Handlers(NamedTuple):
    """One method per route."""

    reader: SeriesReader
    gate: Gate

    def query(self) -> Response:
        """`GET|POST query`: the value at one time."""
        return self._evaluated(request_values.instant(request.values, self.reader.clock()))

    def query_range(self) -> Response:
        """`GET|POST query_range`: the values at many times."""
        return self._evaluated(request_values.over_time(request.values))

    def labels(self) -> Response:
        """`GET|POST labels`: the names of labels."""
        wanted = self._listing()
        with self.gate.acquire(g.token):
            is_any = any(True for _ in self._known(wanted))
        return _listed(["__name__", "device"] if is_any else [], wanted.limit)

    def label_values(self, name: str) -> Response:
        """`GET label/{name}/values`."""
        if not _LABEL.fullmatch(name):
            raise bad_data(f"{name!r:.80} is not a name of a label; use device or __name__", "name")
        wanted = self._listing()
        if name not in ("__name__", "device"):
            return _listed([], wanted.limit)
        with self.gate.acquire(g.token):
            is_metric = name == "__name__"
            found = {known.metric if is_metric else known.device for known in self._known(wanted)}
        return _listed(sorted(found), wanted.limit)

    def series(self) -> Response:
        """`GET|POST series`: the labels of series."""
        wanted = self._listing(is_needed=True)
        with self.gate.acquire(g.token):
            known = {series[:2] for series in islice(self._known(wanted), wanted.limit + 1)}
        found = [{"__name__": metric, "device": device} for device, metric in sorted(known)]
        return _listed(found, wanted.limit)

    def metadata(self) -> Response:
        """`GET metadata`: kinds, units and descriptions, from the catalogue."""
        name = request.values.get("metric")
        limit = request_values.entries(request.values, "limit")
        entries_max = request_values.entries(request.values, "limit_per_metric")
        metrics = self.reader.view.catalogue.metrics
        found = {
            metric: [
                {"type": entry.kind, "help": entry.description or "", "unit": entry.unit or ""}
            ]
            for metric, entry in metrics.items()
            if not name or name == metric
        }
        return _success(
            {metric: each[:entries_max] for metric, each in islice(found.items(), limit)}
        )

    def build_info(self) -> Response:
        """`GET status/buildinfo`: what Grafana takes the server for."""
        return _success(_BUILD)

    def _evaluated(self, steps: Steps) -> Response:
        values = request.values
        query = promql.parse(request_values.query(values))
        limit = request_values.limit(values, bounds.SERIES_MAX)
        index = self._index(request_values.run_ms(values))
        with self.gate.acquire(g.token):
            evaluator = Evaluator(query, steps, index)
            value = evaluator.run()
            if steps.step_ms:
                data, is_cut = response.over_time(value, evaluator.times_ms, limit)
            else:
                data, is_cut = response.instant(value, steps.first_ms, limit)
        warnings = [_TRUNCATED] if is_cut else []
        return flask_app.json_response(response.success(data, evaluator.infos, warnings))

    def _listing(self, *, is_needed: bool = False) -> Listing:
        matches = request.values.getlist("match[]")
        return request_values.listing(request.values, matches, is_needed=is_needed)

    def _known(self, wanted: Listing) -> Iterable[Known]:
        index = self._index(bounds.RUN_MAX_MS)
        for selection in wanted.selections:
            for known in index.find(selection):
                if known.newest_ms is None or known.newest_ms >= wanted.start_ms:
                    yield known

    def _index(self, run_ms: int) -> SeriesIndex:
        return SeriesIndex(self.reader, g.token, Deadline.after(run_ms))


def _success(data: Any) -> Response:
    return flask_app.json_response(response.success(data))


def _listed(found: list[Any], limit: int) -> Response:
    """Names up to a limit, with the warning of Prometheus if there are more."""
    warnings = [_TRUNCATED] if len(found) > limit else []
    return flask_app.json_response(response.success(found[:limit], warnings=warnings))


def _on_error(error: TributaryError) -> Response:
    converted = flask_app.http_error(error)
    kind = _KINDS.get(converted.status, "unavailable")
    if isinstance(error, QueryTimeout):
        kind = "timeout"
    body = response.failure(kind, converted.message)
    return flask_app.json_response(body, converted.status, converted.headers)
