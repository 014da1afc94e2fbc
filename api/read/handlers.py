"""The request handlers of the read API.

A handler parses the parameters, checks the token, reads the store and builds the body.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import redis
from flask import Blueprint, Response, g, request

from api import collect
from api.read import bodies, build, joined, parameters, span
from api.read.aggregate_store import AggregateStore, StoredDevice
from api.read.build import View
from api.read.fleet_store import FleetStore
from api.read.history_store import HistoryStore
from api.read.joined import MetricRequest
from api.read.series_reader import SeriesReader, SpanOf
from api.read.units import UnitPreference
from tributary.auth.tokens import Token
from tributary.http import flask_app
from tributary.model import catalogue, pattern, reading
from tributary.model.aggregate import Layout
from tributary.model.clock import utc_ms
from tributary.model.declared import Declared
from tributary.settings import Settings


def make_reader(settings: Settings, client: redis.Redis) -> SeriesReader:
    """The reader of all routes.

    Raises:
        Misconfigured: the catalogue of metrics is invalid.
    """
    layout = Layout(settings.parsed_windows, settings.average_over)
    metrics = catalogue.load(settings.metrics_file)
    declared = Declared(layout, metrics)
    view = View(layout, metrics, settings.stale_after_ms, declared)
    store = AggregateStore(client, settings, declared)
    return SeriesReader(store, HistoryStore(settings), view)


def blueprint(settings: Settings, client: redis.Redis, reader: SeriesReader) -> Blueprint:
    """`/collect` and everything under `/api/v1/devices`."""
    lists = flask_app.ConcurrencyLimit(max(1, settings.http_threads // 2))
    fleet = FleetStore(client, settings, reader.view.catalogue.ranges)
    handlers = _Handlers(reader.store, reader, reader.view, lists, fleet)
    routes = Blueprint("read", __name__)
    routes.add_url_rule("/collect", view_func=handlers.collect, methods=["GET", "POST"])
    devices = "/api/v1/devices"
    routes.add_url_rule(devices, view_func=handlers.devices)
    routes.add_url_rule("/api/v1/fleet", view_func=handlers.all_devices)
    routes.add_url_rule(f"{devices}/<path:device>", view_func=handlers.device)
    metric = f"{devices}/<path:device>/metrics/<metric>"
    routes.add_url_rule(metric, view_func=handlers.metric)
    routes.add_url_rule(f"{metric}/history", view_func=handlers.history)
    routes.add_url_rule(
        "/api/v1/buildings/<building>/rooms/<room>/temperatures/average",
        view_func=handlers.room_average,
    )
    return routes


TEMPERATURE = "temperature"  # the metric of rooms


class _Handlers(NamedTuple):
    """One method per route."""

    store: AggregateStore
    reader: SeriesReader
    view: View
    lists: flask_app.ConcurrencyLimit
    fleet: FleetStore

    def collect(self) -> Response:
        """`GET|POST /collect`."""
        named = request.args.get("device")
        metrics, preference = parameters.metrics(request.args.get("metrics")), self._preference()
        device = reading.DEFAULT_DEVICE if named is None else named
        _check_device(device)
        latest = self.store.latest(device)
        if latest is None:
            if named is not None:
                raise collect.unknown_device(named)
            empty = collect.EMPTY if metrics is None else collect.empty(metrics)
            return _conditional(collect.EMPTY_ETAG, lambda: empty)
        if metrics is not None:
            latest = collect.narrowed(latest, metrics)
        if preference.units:
            latest = collect.converted(latest, preference.convert)
        now_ms = utc_ms()
        body, etag = collect.body_and_etag(device, latest, now_ms, self.view.stale_after_ms)
        return _conditional(etag, lambda: body)

    def devices(self) -> Response:
        """`GET /api/v1/devices`."""
        limit = parameters.limit(request.args.get("limit"))
        after, prefix = request.args.get("after", ""), request.args.get("prefix", "")
        token: Token | None = g.token  # None: everything may be read
        narrow = prefix if token is None else token.narrowed(prefix)
        if narrow is None:  # the token covers none of these devices
            return flask_app.json_response(bodies.Devices([], None))
        covers = None if token is None or token.is_for_all else token.covers
        with self.lists.acquire(token):
            page = self.store.devices(narrow, after, limit, covers)
        now_ms = utc_ms()
        listed = [build.listed_device(self.view, device, now_ms) for device in page.devices]
        return flask_app.json_response(bodies.Devices(listed, page.next))

    def all_devices(self) -> Response:
        """`GET /api/v1/fleet`."""
        wanted = parameters.fleet(request.args)
        token: Token | None = g.token
        covers = None
        if token is not None and not token.is_for_all:
            covers = token.device, pattern.compiled(token.device).fullmatch
        with self.lists.acquire(token):
            snapshot, now_ms = self.fleet.snapshot(), utc_ms()
            selection = snapshot.select(wanted, now_ms, self.view.stale_after_ms, covers)
            page = self.store.latest_of(selection.names)
        return flask_app.json_response(build.fleet(self.view, page, selection, utc_ms()))

    def device(self, device: str) -> Response:
        """`GET /api/v1/devices/{device}`."""
        wanted, preference = parameters.metrics(request.args.get("metrics")), self._preference()
        _check_device(device)
        latest = self.store.latest(device)
        if latest is None:
            raise collect.unknown_device(device)
        metrics = collect.metrics_of(latest)
        if wanted is not None:
            metrics = [name for name in wanted if name in metrics]
        latest, packed = self.store.device(device, metrics)
        if latest is None:  # forgotten between the two reads
            raise collect.unknown_device(device)
        stored, now_ms = StoredDevice(device, latest), utc_ms()
        series = build.unpack(self.view, device, metrics, packed)
        return _conditional(
            build.device_etag(self.view, stored, series, now_ms),
            lambda: build.whole_device(self.view, stored, series, preference, now_ms),
        )

    def metric(self, device: str, metric: str) -> Response:
        """`GET /api/v1/devices/{device}/metrics/{metric}`."""
        wanted = parameters.length(request.args, "window")
        span_of = partial(span.whole, wanted)
        return self._of_metric((device, metric), wanted.length, span_of, joined.metric_window)

    def history(self, device: str, metric: str) -> Response:
        """`GET /api/v1/devices/{device}/metrics/{metric}/history`."""
        wanted = parameters.chart(request.args)
        span_of = partial(span.slots, wanted)
        return self._of_metric((device, metric), wanted.length, span_of, joined.history)

    def room_average(self, building: str, room: str) -> Response:
        """`GET /api/v1/buildings/{building}/rooms/{room}/temperatures/average`."""
        wanted = parameters.length(request.args, "duration")
        device = f"{building}/{room}"
        _check_device(device)
        span_of = partial(span.whole, wanted)
        read = self.reader.read_or_empty((device, TEMPERATURE), span_of, g.token)
        return flask_app.json_response(joined.room_average(read))

    def _of_metric(
        self,
        names: tuple[str, str],
        window: str | None,
        span_of: SpanOf,
        build_body: Callable[[View, MetricRequest], Any],
    ) -> Response:
        device, metric = names
        preference = self._preference()
        if preference.units:
            parameters.check_unit(metric, preference)
        _check_device(device)
        if not reading.is_metric(metric):
            raise collect.unknown_metric(device, metric)
        read = self.reader.read(names, span_of, g.token)
        found = MetricRequest(*names, window, read, *preference.for_metric(metric))
        return _conditional(joined.etag(self.view, read), lambda: build_body(self.view, found))

    def _preference(self) -> UnitPreference:
        return UnitPreference(parameters.units(request.args.get("unit")), self.view.catalogue)


def _check_device(device: str) -> None:
    """Raise unless the device can exist (404) and the token of the request covers it (403)."""
    collect.check_device(device)
    if g.token is not None:
        g.token.check("collect", [device])


def _conditional(etag: str, build_body: Callable[[], Any]) -> Response:
    """The response, or 304 if the client has it already."""
    headers = {"ETag": etag, "Cache-Control": collect.CACHE_CONTROL}
    if_none_match = request.headers.get("If-None-Match")
    is_read = request.method != "POST"
    if is_read and if_none_match is not None and collect.is_match(if_none_match, etag):
        return Response(status=304, headers=headers)
    return flask_app.json_response(build_body(), headers=headers)
