"""`/metrics`: the status of a deployment in the Prometheus text format.

Every value is read from Redis, so a scrape returns the same from any process. Values of one
process (requests, threads) are left out: when several share a port, each scrape would reach
another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Any, Literal, NamedTuple, get_type_hints

import redis
from flask import Blueprint, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from tributary import __version__
from tributary.auth import refusals
from tributary.auth.guard import Guard
from tributary.errors import TributaryError
from tributary.http import flask_app
from tributary.operate import status
from tributary.operate.status import Partition, Status
from tributary.operate.status.partition import Entries
from tributary.operate.status.server import Server
from tributary.settings import Settings

Family = CounterMetricFamily | GaugeMetricFamily
Kind = Literal["counter", "gauge"]
Sample = tuple[tuple[str, ...], float]  # label values, value


class Scrape(NamedTuple):
    """What is read from Redis for one scrape."""

    status: Status
    refusals: Mapping[str, int]  # by error code


class Metric(NamedTuple):
    """A metric, and how its samples are taken from a scrape."""

    name: str
    type: Kind
    labels: tuple[str, ...]
    description: str
    samples: Callable[[Any], list[Sample]]  # of a Scrape; those of ALWAYS also of None


def _described(struct: type, field: str) -> str:
    """The description of a field of the status, as in the OpenAPI schema."""
    description: str = (
        get_type_hints(struct, include_extras=True)[field].__metadata__[0].description
    )
    return description


def _per_partition(name: str, kind: Kind, path: str) -> Metric:
    struct = Entries if path.startswith("entries.") else Partition
    value = attrgetter(path)
    return Metric(
        f"tributary_{name}",
        kind,
        ("partition",),
        _described(struct, path.removeprefix("entries.")),
        lambda scrape: [((str(p.partition),), value(p)) for p in scrape.status.partitions],
    )


def _gross(name: str, path: str) -> Metric:
    """A counter that includes replayed entries: the status subtracts them, counters never fall."""
    net = _per_partition(name, "counter", path)
    replayed = attrgetter("entries.replayed" if path.startswith("entries.") else "replayed")

    def samples(scrape: Scrape) -> list[Sample]:
        pairs = zip(net.samples(scrape), scrape.status.partitions, strict=True)
        return [(labels, value + replayed(partition)) for (labels, value), partition in pairs]

    return net._replace(samples=samples)


def _total(name: str, kind: Kind, description: str, value: Callable[[Scrape], float]) -> Metric:
    return Metric(f"tributary_{name}", kind, (), description, lambda scrape: [((), value(scrape))])


def _server(name: str, kind: Kind, field: str) -> Metric:
    return _total(
        f"redis_{name}",
        kind,
        _described(Server, field),
        lambda scrape: getattr(scrape.status.server, field),
    )


CATALOGUE = (
    _gross("readings_accepted_total", "accepted"),
    _per_partition("readings_applied_total", "counter", "applied"),
    _per_partition("readings_late_total", "counter", "late"),
    _gross("readings_dead_total", "dead"),
    _per_partition("readings_replayed_total", "counter", "replayed"),
    _per_partition("readings_lost_total", "counter", "lost"),
    _per_partition("readings_lost_at_restart_total", "counter", "lost_at_restart"),
    _per_partition("readings_refused_total", "counter", "refused"),
    _per_partition("readings_pending", "gauge", "pending"),
    _per_partition("readings_missing", "gauge", "missing"),
    _gross("entries_accepted_total", "entries.accepted"),
    _per_partition("entries_lost_total", "counter", "entries.lost"),
    _gross("entries_dead_total", "entries.dead"),
    _per_partition("entries_pending", "gauge", "entries.pending"),
    _per_partition("lag_seconds", "gauge", "lag_s"),
    _per_partition("stream_entries", "gauge", "stream_entries"),
    _per_partition("devices", "gauge", "devices"),
    _per_partition("series", "gauge", "series"),
    _total(
        "stream_entries_max",
        "gauge",
        _described(Status, "stream_max_entries"),
        lambda scrape: scrape.status.stream_max_entries,
    ),
    _total(
        "aggregators",
        "gauge",
        "aggregators with a recent heartbeat",
        lambda scrape: len(scrape.status.aggregators),
    ),
    Metric(
        "tributary_aggregator_partitions",
        "gauge",
        ("aggregator",),
        "partitions owned by an aggregator",
        lambda scrape: [((a.id,), len(a.partitions)) for a in scrape.status.aggregators],
    ),
    Metric(
        "tributary_aggregator_heartbeat_age_seconds",
        "gauge",
        ("aggregator",),
        "time since the last heartbeat of an aggregator",
        lambda scrape: [((a.id,), a.heartbeat_age_ms / 1000) for a in scrape.status.aggregators],
    ),
    _server("memory_used_bytes", "gauge", "used_memory_bytes"),
    _server("memory_max_bytes", "gauge", "max_memory_bytes"),
    _server("aof_delayed_fsyncs_total", "counter", "aof_delayed_fsyncs"),
    _server("aof_pending_fsyncs", "gauge", "aof_pending_fsyncs"),
    _server("aof_unwritten_bytes", "gauge", "aof_unwritten_bytes"),
    Metric(
        "tributary_redis_info",
        "gauge",
        ("version", "role"),
        "always 1; version and role of the server",
        lambda scrape: [((scrape.status.server.version, scrape.status.server.role), 1)],
    ),
    Metric(
        "tributary_requests_refused_total",
        "counter",
        ("code",),
        "requests rejected for credentials, rates, limits or browser checks; up to a second late",
        lambda scrape: [((code,), count) for code, count in sorted(scrape.refusals.items())],
    ),
    _total(
        "healthy",
        "gauge",
        "1 if `tributary status` reports no problem",
        lambda scrape: not status.problems(scrape.status),
    ),
)
ALWAYS = (
    _total(
        "redis_up",
        "gauge",
        "1 if Redis replied; if 0, only this and the build are reported",
        lambda scrape: scrape is not None,
    ),
    Metric(
        "tributary_build_info",
        "gauge",
        ("version",),
        "always 1; version of Tributary",
        lambda _: [((__version__,), 1)],
    ),
)


def render(scrape: Scrape | None) -> bytes:
    """The exposition of a scrape; None if Redis is unavailable."""
    metrics = (*ALWAYS, *CATALOGUE) if scrape else ALWAYS
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected([_family(metric, scrape) for metric in metrics]))
    return generate_latest(registry)


def blueprint(client: redis.Redis, settings: Settings, guard: Guard) -> Blueprint:
    """`GET /metrics`. The status is 200 even if Redis is unavailable: `tributary_redis_up` is 0."""
    routes = Blueprint("metrics", __name__)
    routes.before_request(flask_app.require_scope(guard, "operate"))
    scrapes = flask_app.ConcurrencyLimit(max(1, settings.http_threads // 4))

    @routes.get("/metrics")
    def get_metrics() -> Response:
        scrape: Scrape | None
        try:
            with scrapes.acquire():
                scrape = Scrape(status.read(client, settings), refusals.totals(client))
        except TributaryError:
            scrape = None
        return Response(render(scrape), content_type=CONTENT_TYPE_PLAIN_0_0_4)

    return routes


class _Collected(Collector):
    """Metric families built beforehand, for the registry."""

    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Family]:
        return iter(self._families)


def _family(metric: Metric, scrape: Scrape | None) -> Family:
    kind = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
    family: Family = kind(metric.name, metric.description, labels=metric.labels)
    for labels, value in metric.samples(scrape):
        family.add_metric(labels, value)
    return family
