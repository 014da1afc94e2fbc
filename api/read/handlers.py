"""The routes of the read API: a request in, what is stored and the moment through pure functions.

Whether a request may read a device is asked here, in one line of each route.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import redis
from flask import Blueprint, Response, g, request

from api import collect
from api.read import access, bodies, parameters
from api.read.aggregate_store import Listed, Store
from api.read.bodies import Series, View
from api.read.parameters import Span
from api.read.units import Wish
from tributary.http import flask_app
from tributary.model import catalogue, reading
from tributary.model.aggregate import Layout
from tributary.settings import Settings

_WINDOW_DEFAULT, _HISTORY_DEFAULT = "15m", "1h"


def blueprint(settings: Settings, client: redis.Redis) -> Blueprint:
    """`/collect` and everything under `/api/v1/devices`.

    Raises:
        Misconfigured: the catalogue of metrics cannot be used.
    """
    layout = Layout(settings.parsed_windows, settings.average_over)
    view = View(layout, catalogue.load(settings.metrics_file), settings.stale_after_ms)
    reads = _Reads(
        Store(client, settings),
        view,
        flask_app.ConcurrencyLimit(max(1, settings.http_threads // 2)),
    )
    routes = Blueprint("read", __name__)
    routes.add_url_rule("/collect", view_func=reads.collect, methods=["GET", "POST"])
    devices = "/api/v1/devices"
    routes.add_url_rule(devices, view_func=reads.devices)
    routes.add_url_rule(f"{devices}/<path:device>", view_func=reads.device)
    metric = f"{devices}/<path:device>/metrics/<metric>"
    routes.add_url_rule(metric, view_func=reads.metric)
    routes.add_url_rule(f"{metric}/history", view_func=reads.history)
    return routes


class _Found(NamedTuple):
    """One metric that was asked for, with how it is to be answered, and when."""

    series: Series
    span: Span
    wish: Wish
    now_ms: int


class _Reads:
    """The routes, each a method, over the store and the view of a process."""

    def __init__(self, store: Store, view: View, lists: flask_app.ConcurrencyLimit) -> None:
        self._store = store
        self._lists = lists
        self._view = view

    def collect(self) -> Response:
        """The newest values of a device."""
        named = request.args.get("device")
        metrics, wish = parameters.metrics(request.args.get("metrics")), self._wish()
        device = reading.DEFAULT_DEVICE if named is None else named
        collect.check_device(device)
        access.check(device)
        latest = self._store.latest(device)
        if latest is None:
            if named is not None:
                raise collect.unknown(named)
            empty = collect.EMPTY if metrics is None else collect.empty(metrics)
            return _conditional(collect.EMPTY_ETAG, lambda: empty)
        if metrics is not None:
            latest = collect.narrowed(latest, metrics)
        if wish.units:
            latest = collect.converted(latest, wish.convert)
        body, etag = collect.tagged(device, latest, _now_ms(), self._view.stale_after_ms)
        return _conditional(etag, lambda: body)

    def devices(self) -> Response:
        """A page of the list of devices."""
        limit = parameters.limit(request.args.get("limit"))
        after, prefix = request.args.get("after", ""), request.args.get("prefix", "")
        narrow = access.narrowed(prefix)
        if narrow is None:  # the token is for other devices
            return flask_app.json_response({"devices": [], "next": None})
        with self._lists.acquire(g.token):
            page = self._store.devices(narrow, after, limit, access.covers())
        now_ms = _now_ms()
        listed = [bodies.listed(self._view, device, now_ms) for device in page.devices]
        return flask_app.json_response({"devices": listed, "next": page.next})

    def device(self, device: str) -> Response:
        """Everything about one device."""
        wanted, wish = parameters.metrics(request.args.get("metrics")), self._wish()
        collect.check_device(device)
        access.check(device)
        latest = self._store.latest(device)
        if latest is None:
            raise collect.unknown(device)
        metrics = collect.metrics_of(latest)
        if wanted is not None:
            metrics = [name for name in wanted if name in metrics]
        latest, stored = self._store.device(device, metrics)
        if latest is None:  # forgotten in between
            raise collect.unknown(device)
        shown, now_ms = Listed(device, latest), _now_ms()
        series = bodies.unpack(self._view, device, metrics, stored)
        return _conditional(
            bodies.device_etag(self._view, shown, series, now_ms),
            lambda: bodies.device(self._view, shown, series, wish, now_ms),
        )

    def metric(self, device: str, metric: str) -> Response:
        """Statistics of one metric over a window."""
        one, span, wish, now_ms = self._found(device, metric, _WINDOW_DEFAULT)
        return _conditional(
            bodies.metric_etag(self._view, one, span, now_ms),
            lambda: bodies.statistics(self._view, one, span, wish, now_ms),
        )

    def history(self, device: str, metric: str) -> Response:
        """The slots of one metric."""
        one, span, wish, now_ms = self._found(device, metric, _HISTORY_DEFAULT)
        return _conditional(
            bodies.metric_etag(self._view, one, span, now_ms),
            lambda: bodies.history(self._view, one, span, wish, now_ms),
        )

    def _found(self, device: str, metric: str, window: str) -> _Found:
        span = parameters.span(request.args.get("window", window), self._view.layout)
        wish = self._wish(metric)
        collect.check_device(device)
        access.check(device)
        if not reading.is_metric(metric):
            raise collect.unknown_metric(device, metric)
        latest, stored = self._store.device(device, [metric])
        if latest is None:
            raise collect.unknown(device)
        series = bodies.unpack(self._view, device, [metric], stored)
        if not series:
            raise collect.unknown_metric(device, metric)
        return _Found(series[0], span, wish, _now_ms())

    def _wish(self, metric: str | None = None) -> Wish:
        """The units asked for; if one metric is asked for they must be its own or convertible."""
        wish = Wish(parameters.units(request.args.get("unit")), self._view.catalogue)
        if metric is not None and wish.units:
            parameters.check_unit(metric, wish)
        return wish


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _conditional(etag: str, build: Callable[[], Any]) -> Response:
    """The answer, or 304 if it is the one that the client has."""
    headers = {"ETag": etag, "Cache-Control": collect.CACHE_CONTROL}
    given = request.headers.get("If-None-Match")
    if given is not None and request.method != "POST" and collect.is_match(given, etag):
        return Response(status=304, headers=headers)
    return flask_app.json_response(build(), headers=headers)
