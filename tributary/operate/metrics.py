"""`/metrics`: the status of a deployment as Prometheus text, from a closed catalogue.

Every figure lives in Redis, so that it does not matter which process a scrape hits. Counts of
one process (requests, threads) are left out: with several behind a port, each scrape would
see another's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

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
from tributary.settings import Settings

Family = CounterMetricFamily | GaugeMetricFamily
Sample = tuple[tuple[str, ...], float]  # values of the labels, and the value


class Metric(NamedTuple):
    """One metric: how it is called, and where the status has its samples."""

    name: str
    type: Literal["counter", "gauge"]
    labels: tuple[str, ...]
    meaning: str
    samples: Callable[[dict[str, Any]], list[Sample]]


def _per_partition(*path: str) -> Callable[[dict[str, Any]], list[Sample]]:
    def samples(found: dict[str, Any]) -> list[Sample]:
        sampled: list[Sample] = []
        for partition in found["partitions"]:
            value: Any = partition
            for name in path:
                value = value[name]
            sampled.append(((str(partition["partition"]),), value))
        return sampled

    return samples


def _counted(what: str, kind: Literal["counter", "gauge"], meaning: str, *path: str) -> Metric:
    suffix = "_total" if kind == "counter" else ""
    name = f"tributary_{what}{suffix}"
    return Metric(name, kind, ("partition",), meaning, _per_partition(*path))


def _gross(what: str, meaning: str, *path: str) -> Metric:
    """A counter of what the account shows without the replayed: counters never fall."""
    counted = _counted(what, "counter", meaning, *path)
    replayed = _per_partition(*path[:-1], "replayed")

    def samples(found: dict[str, Any]) -> list[Sample]:
        pairs = zip(counted.samples(found), replayed(found), strict=True)
        return [(labels, value + more) for (labels, value), (_, more) in pairs]

    return counted._replace(samples=samples)


def _whole(name: str, meaning: str, value: Callable[[dict[str, Any]], float]) -> Metric:
    return Metric(f"tributary_{name}", "gauge", (), meaning, lambda found: [((), value(found))])


CATALOGUE = (
    _gross("readings_accepted", "readings answered with 200, and replayed ones", "accepted"),
    _counted("readings_applied", "counter", "readings in the aggregates", "applied"),
    _counted("readings_late", "counter", "readings too old for any window, in totals only", "late"),
    _gross("readings_dead", "readings of entries that could not be applied", "dead"),
    _counted("readings_replayed", "counter", "dead readings appended again", "replayed"),
    _counted("readings_lost", "counter", "accepted readings that are gone, not applied", "lost"),
    _counted(
        "readings_lost_at_restart",
        "counter",
        "acknowledged readings that Redis lacked after a restart or failover; part of lost",
        "lost_at_restart",
    ),
    _counted("readings_refused", "counter", "readings not accepted: full backlog", "refused"),
    _counted("readings_pending", "gauge", "accepted readings not accounted for yet", "pending"),
    _counted(
        "readings_missing", "gauge", "pending readings that are no longer in the stream", "missing"
    ),
    _gross("entries_accepted", "entries appended", "entries", "accepted"),
    _counted(
        "entries_lost", "counter", "accepted entries that are gone, not applied", "entries", "lost"
    ),
    _gross("entries_dead", "entries that could not be applied", "entries", "dead"),
    _counted(
        "entries_pending", "gauge", "entries not accounted for yet: the lag", "entries", "pending"
    ),
    _counted("lag_seconds", "gauge", "age of the oldest entry not accounted for", "lag_s"),
    _counted(
        "stream_entries", "gauge", "entries in the stream, applied ones included", "stream_entries"
    ),
    _counted("devices", "gauge", "devices known", "devices"),
    _counted("series", "gauge", "series known: metrics of devices", "series"),
    _whole(
        "stream_entries_max", "entries a stream keeps", lambda found: found["stream_max_entries"]
    ),
    _whole(
        "aggregators",
        "aggregators with a fresh heartbeat",
        lambda found: len(found["aggregators"]),
    ),
    Metric(
        "tributary_aggregator_partitions",
        "gauge",
        ("aggregator",),
        "partitions that an aggregator owns",
        lambda found: [((a["id"],), len(a["partitions"])) for a in found["aggregators"]],
    ),
    Metric(
        "tributary_aggregator_heartbeat_age_seconds",
        "gauge",
        ("aggregator",),
        "time since the last heartbeat of an aggregator",
        lambda found: [((a["id"],), a["heartbeat_age_ms"] / 1000) for a in found["aggregators"]],
    ),
    _whole(
        "redis_memory_used_bytes",
        "memory that Redis uses",
        lambda found: found["server"]["used_memory_bytes"],
    ),
    _whole(
        "redis_memory_max_bytes",
        "maxmemory of Redis; 0: no limit",
        lambda found: found["server"]["max_memory_bytes"],
    ),
    Metric(
        "tributary_redis_aof_delayed_fsyncs_total",
        "counter",
        (),
        "fsyncs that Redis waited for two seconds in vain: a kill then loses what it acknowledged",
        lambda found: [((), found["server"]["aof_delayed_fsyncs"])],
    ),
    _whole(
        "redis_aof_pending_fsyncs",
        "fsyncs running in the background; its average over time is about the seconds that one takes",
        lambda found: found["server"]["aof_pending_fsyncs"],
    ),
    _whole(
        "redis_aof_unwritten_bytes",
        "bytes that are acknowledged and not written to the append-only file yet",
        lambda found: found["server"]["aof_unwritten_bytes"],
    ),
    Metric(
        "tributary_redis_info",
        "gauge",
        ("version", "role"),
        "always 1; the labels say what serves",
        lambda found: [((found["server"]["version"], found["server"]["role"]), 1)],
    ),
    Metric(
        "tributary_requests_refused_total",
        "counter",
        ("code",),
        "requests refused: credentials, rates, caps, browsers; without those of the last second",
        lambda found: [
            ((code,), count) for code, count in sorted(found.get("refusals", {}).items())
        ],
    ),
    _whole(
        "healthy", "1 if `tributary status` finds no fault", lambda found: not status.faults(found)
    ),
)
ALWAYS = (
    _whole("redis_up", "1 if Redis answered; if 0, there is nothing else", bool),
    Metric(
        "tributary_build_info",
        "gauge",
        ("version",),
        "always 1; the label says which Tributary this is",
        lambda _: [((__version__,), 1)],
    ),
)


def render(found: dict[str, Any] | None) -> bytes:
    """The exposition of a status; without one (Redis is away) it says only that."""
    metrics = (*ALWAYS, *CATALOGUE) if found else ALWAYS
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Found([_family(metric, found or {}) for metric in metrics]))
    return generate_latest(registry)


def blueprint(client: redis.Redis, settings: Settings, guard: Guard) -> Blueprint:
    """`GET /metrics`. It answers 200 also when Redis is away: that is one of the metrics."""
    routes = Blueprint("metrics", __name__)
    routes.before_request(flask_app.require_scope(guard, "operate"))
    lists = flask_app.ConcurrencyLimit(max(1, settings.http_threads // 4))

    @routes.get("/metrics")
    def get_metrics() -> Response:
        found: dict[str, Any] | None
        try:
            with lists.acquire():
                found = status.read(client, settings)
            found["refusals"] = refusals.totals(client)
        except TributaryError:
            found = None
        return Response(render(found), content_type=CONTENT_TYPE_PLAIN_0_0_4)

    return routes


class _Found(Collector):
    """What has been collected already, as the library wants to collect it."""

    def __init__(self, told: list[Family]) -> None:
        self._told = told

    def collect(self) -> Iterator[Family]:
        return iter(self._told)


def _family(metric: Metric, found: dict[str, Any]) -> Family:
    kind = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
    family: Family = kind(metric.name, metric.meaning, labels=metric.labels)
    for labels, value in metric.samples(found):
        family.add_metric(labels, value)
    return family
