"""`/metrics`: valid exposition, conventional names, the values of the status."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from support.account import post
from support.processes import Server

from tributary.auth.guard import Guard
from tributary.http import flask_app
from tributary.model import alert
from tributary.model.alert import AlertState, State
from tributary.operate import metrics
from tributary.operate.metrics import ALWAYS, CATALOGUE
from tributary.settings import Settings
from tributary.store import keys, redis_client, scripts
from tributary.store.histogram import FRESHNESS

OPERATING = (Path(__file__).resolve().parents[2] / "docs" / "operating.md").read_text()
Samples = dict[str, dict[tuple[str, ...], float]]
_NAME = re.compile(r"tributary_[a-z]+(_[a-z]+)*")
# Prometheus requires base units: no milliseconds, no kilobytes.
_WRONG_UNIT = re.compile(r"_(ms|milliseconds|s|kb|mb|percent)(_|$)")


@pytest.fixture
def http(client: redis.Redis, change: Callable[..., Settings]) -> FlaskClient:
    settings = change(heartbeat_ms=60_000)
    return flask_app.make_app(
        "test", metrics.blueprint(client, settings, Guard(settings, client))
    ).test_client()


def beat(client: redis.Redis, worker: str) -> None:
    """The heartbeat of an aggregator."""
    scripts.run(client, scripts.heartbeat(worker, forget_after_ms=60_000))


def store_alerts(client: redis.Redis) -> None:
    """Two alerts, and a destination that is two transitions behind."""
    states: dict[str, State] = {"a": "firing", "b": "pending"}
    for device, state in states.items():
        packed = alert.encode({"high": AlertState(state, 0, 1.0, "critical")})
        client.hset(keys.alerts(0), f"{device}|speed", packed)
    client.hset(keys.meta(0), "transitions", 7)
    client.hset(keys.delivered(0), mapping={"d1": 5, "removed": 1})
    client.hset(keys.ALERT_DESTINATIONS, "d1", "http://here")
    client.hset(
        keys.ALERT_DELIVERIES, mapping={"delivered http://here": 4, "failed http://here": 2}
    )


def scraped(http: FlaskClient, **headers: str) -> Samples:
    """Name → label values → value, as Prometheus parses it."""
    response = http.get("/metrics", headers=headers)
    assert response.status_code == 200
    assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"
    found: Samples = {}
    for family in text_string_to_metric_families(response.text):
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram")
        for sample in family.samples:
            labels = tuple(sample.labels.values())
            assert labels not in found.setdefault(sample.name, {}), "duplicate series"
            found[sample.name][labels] = sample.value
    return found


def test_names_follow_the_conventions_of_prometheus():
    names = [metric.name for metric in (*ALWAYS, *CATALOGUE)]
    assert len(set(names)) == len(names)
    for metric in (*ALWAYS, *CATALOGUE):
        assert _NAME.fullmatch(metric.name), metric.name
        assert not _WRONG_UNIT.search(metric.name), metric.name
        assert metric.name.endswith("_total") == (metric.type == "counter"), metric.name
        assert metric.description[-1] != "."


def test_a_scrape_has_exactly_the_metrics_of_the_catalogue(http: FlaskClient, client: redis.Redis):
    beat(client, "w")
    client.hset(keys.REFUSALS, "401 unauthorized record", 3)
    client.hset(keys.REQUESTS, "record", 3)
    client.hset(
        keys.JOB_RUNS, mapping={"archive finished": 2, "archive le:0.5": 2, "archive us": 7}
    )
    client.hset(keys.IGNORED, "influx_v1", 3)
    client.hset(keys.MESSAGES, "stored", 3)
    store_alerts(client)
    parts = re.compile(r"(_seconds)_(bucket|count|sum)$")
    names = {parts.sub(r"\1", name) for name in scraped(http)}
    assert names == {metric.name for metric in (*ALWAYS, *CATALOGUE)}


def test_histograms_have_cumulative_buckets_and_a_sum(http: FlaskClient, client: redis.Redis):
    fields: Counter[str] = Counter()
    for duration_s in (0.0, 0.0025, 0.003, 0.2, 7_200.0):
        FRESHNESS.add(fields, "freshness", duration_s)
    client.hset(keys.TIMINGS, mapping=dict(fields))
    found = scraped(http)
    buckets = {le: n for (le,), n in found["tributary_freshness_seconds_bucket"].items()}
    counts = [
        buckets[le] for le in ("0.0025", "0.005", "0.1", "0.25", "3600", "3600.0") if le in buckets
    ]
    assert counts == [2, 3, 3, 4, 4]
    assert buckets["+Inf"] == found["tributary_freshness_seconds_count"][()] == 5
    assert found["tributary_freshness_seconds_sum"][()] == pytest.approx(7_200.2055)
    assert found["tributary_commit_seconds_count"] == {(): 0}


def test_counts_alerts_and_deliveries(http: FlaskClient, client: redis.Redis):
    store_alerts(client)
    found = scraped(http)
    alerts = {("critical", "firing"): 1, ("critical", "pending"): 1}
    assert found["tributary_alerts"] == alerts
    assert found["tributary_alert_transitions_total"] == {(): 7}
    assert found["tributary_alert_delivery_behind"] == {("http://here",): 2}
    deliveries = {("http://here", "delivered"): 4, ("http://here", "failed"): 2}
    assert found["tributary_alert_deliveries_total"] == deliveries


def test_counts_are_per_partition(http: FlaskClient, client: redis.Redis):
    post(client, 1, 3, 3)
    post(client, 3, 3)
    client.delete(keys.readings(3))
    client.hset(keys.meta(2), "refused", 9)
    found = scraped(http)
    accepted = found["tributary_readings_accepted_total"]
    assert len(accepted) == 4
    assert (accepted["1",], accepted["3",], accepted["0",]) == (6, 3, 0)
    assert found["tributary_readings_pending"]["1",] == 6
    assert found["tributary_entries_pending"]["1",] == 2
    assert found["tributary_readings_missing"]["3",] == 3
    assert found["tributary_readings_refused_total"]["2",] == 9
    assert found["tributary_stream_entries"]["1",] == 2
    assert found["tributary_lag_seconds"]["1",] >= 0


def test_the_counts_of_a_scrape_add_up(http: FlaskClient, client: redis.Redis):
    for partition in range(4):
        post(client, partition, 1)
    found = scraped(http)
    parts = [f"tributary_readings_{w}_total" for w in ("applied", "late", "dead", "lost")]
    for label, accepted in found["tributary_readings_accepted_total"].items():
        total = sum(found[name][label] for name in (*parts, "tributary_readings_pending"))
        assert accepted == total


def test_describes_the_server_and_the_aggregators(http: FlaskClient, client: redis.Redis):
    found = scraped(http)
    assert found["tributary_redis_up"] == {(): 1}
    assert found["tributary_redis_memory_used_bytes"][()] > 100_000
    assert found["tributary_aggregators"] == {(): 0}
    assert found["tributary_healthy"] == {(): 0}
    ((labels, one),) = found["tributary_redis_info"].items()
    assert (one, labels[0]) == (1, "master")
    beat(client, 'a "worker"\\\n')
    found = scraped(http)
    assert found["tributary_aggregators"] == found["tributary_healthy"] == {(): 1}
    assert list(found["tributary_aggregator_partitions"].values()) == [4]


def test_reports_that_redis_is_unavailable(own_server: Callable[..., Server]):
    server = own_server()
    settings = Settings(redis_url=server.url, redis_timeout_ms=500)
    client = redis_client.connect(settings)
    http = flask_app.make_app(
        "test", metrics.blueprint(client, settings, Guard(settings, client))
    ).test_client()
    assert scraped(http)["tributary_redis_up"] == {(): 1}
    server.kill()
    found = scraped(http)
    assert found["tributary_redis_up"] == {(): 0}
    assert set(found) == {metric.name for metric in ALWAYS}
    server.start()
    assert scraped(http)["tributary_redis_up"] == {(): 1}
    client.close()


@pytest.mark.parametrize("accept", ["application/openmetrics-text; version=x", "", "*/*", "\xff"])
def test_responds_in_one_format_whatever_is_accepted(http: FlaskClient, accept: str):
    assert "tributary_redis_up" in scraped(http, Accept=accept)


def test_the_documentation_names_existing_metrics():
    known = {metric.name for metric in (*ALWAYS, *CATALOGUE)}
    named = set(re.findall(r"\btributary_\w+", OPERATING))
    assert {re.sub(r"(_seconds)_(bucket|count|sum)$", r"\1", name) for name in named} <= known
