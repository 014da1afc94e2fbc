"""`/metrics`: the status of a deployment in the Prometheus text format.

Every value is read from Redis, so a scrape returns the same from any process. Values of one
process (requests, threads) are left out: when several share a port, each scrape would reach
another one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import redis
from flask import Blueprint, Response
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from tributary.auth import refusals
from tributary.auth.guard import Guard
from tributary.errors import TributaryError
from tributary.http import flask_app
from tributary.operate import alert_counts, bridges, job_runs, status
from tributary.operate.metric_catalogue import ALWAYS, CATALOGUE, Metric, Scrape
from tributary.settings import Settings
from tributary.store import counts, keys

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class _Exposition(Collector):
    """The metrics of a scrape; without one, those of ALWAYS."""

    def __init__(self, scrape: Scrape | None) -> None:
        self._scrape = scrape

    def collect(self) -> Iterator[Family]:
        for metric in (*ALWAYS, *CATALOGUE) if self._scrape else ALWAYS:
            yield _family(metric, self._scrape)


def _family(metric: Metric, scrape: Scrape | None) -> Family:
    name, description, labels = metric.name, metric.description, metric.labels
    if metric.type == "histogram":
        histogram = HistogramMetricFamily(name, description, labels=labels)
        for values, (buckets, sum_s) in metric.samples(scrape):
            histogram.add_metric(values, buckets, sum_s)
        return histogram
    kind = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
    family = kind(name, description, labels=labels)
    for values, value in metric.samples(scrape):
        family.add_metric(values, value)
    return family


def render(scrape: Scrape | None) -> bytes:
    """The exposition of a scrape; None if Redis is unavailable."""
    return generate_latest(_Exposition(scrape))


def blueprint(client: redis.Redis, settings: Settings, guard: Guard) -> Blueprint:
    """`GET /metrics`. The status is 200 even if Redis is unavailable: `tributary_redis_up` is 0."""
    routes = Blueprint("metrics", __name__)
    routes.before_request(flask_app.require_scope(guard, "operate"))
    scrapes = flask_app.ConcurrencyLimit(max(1, settings.http_threads // 4))

    @routes.get("/metrics")
    def get_metrics() -> Response:
        scrape = None
        with contextlib.suppress(TributaryError), scrapes.acquire():
            scrape = Scrape(
                status.read(client, settings),
                refusals.totals(client),
                counts.totals(client, keys.REQUESTS),
                counts.totals(client, keys.TIMINGS),
                job_runs.read(client, settings),
                counts.totals(client, keys.IGNORED),
                bridges.messages(client),
                len(bridges.alive(client)),
                alert_counts.read(client, settings.partitions),
            )
        return Response(render(scrape), content_type=CONTENT_TYPE_PLAIN_0_0_4)

    return routes
