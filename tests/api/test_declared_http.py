"""Counters and quantiles over HTTP: windows, PromQL, metadata; durations beyond the windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from support.folding import aggregate
from support.history import archive
from support.processes import HOSTS, Server
from support.webs import Web

from tributary.history.database import Database
from tributary.model.clock import utc_ms
from tributary.settings import Settings

MINUTE_MS = 60_000
CATALOGUE = """
[distance]
kind = "counter"
[speed]
unit = "km/h"
quantiles = true
"""


class Fleet:
    """A device whose counter gains 2 per minute since 100 minutes, and is reset after 60."""

    def __init__(self, server: Server, folder: Any) -> None:
        (folder / "metrics.toml").write_text(CATALOGUE)
        settings = Settings(
            redis_url=server.url, data_dir=str(folder / "data"), public_hosts=HOSTS, partitions=1,
            metrics_file=str(folder / "metrics.toml"),
        )  # fmt: skip
        self.web = Web(settings)
        self.first_ms = (utc_ms() // MINUTE_MS - 99) * MINUTE_MS
        self.times_ms = [self.first_ms + n * MINUTE_MS for n in range(100)]
        readings = [
            {"device": "car-7", "recorded_at": at, "distance": 2 * (n % 60) + 2, "speed": n}
            for n, at in enumerate(self.times_ms)
        ]
        assert self.web.record(readings).status == 200
        aggregate(settings, server.client)
        Database.open(settings, migrate=True).close()
        archive(settings)

    def get(self, path: str) -> Any:
        reply = self.web.get(path)
        assert reply.status == 200, reply
        return reply.json

    def window(self, name: str, metric: str = "distance") -> Any:
        return self.get(f"/api/v1/devices/car-7/metrics/{metric}?window={name}")

    def points(self, query: str, start_ms: int, end_ms: int) -> tuple[list[float], Any]:
        times = f"start={start_ms / 1000}&end={end_ms / 1000}&step=60"
        found = self.get(f"/prometheus/api/v1/query_range?query={quote(query)}&{times}")
        (series,) = found["data"]["result"]
        assert series["metric"] == {"device": "car-7"}
        return [float(value) for _, value in series["values"]], found.get("infos", [])


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    server = Server(tmp_path_factory.mktemp("redis"))
    running = Fleet(server, tmp_path_factory.mktemp("counters"))
    yield running
    running.web.close()
    server.close()


def test_windows_have_increase_and_rate(fleet: Fleet):
    windows = fleet.get("/api/v1/devices/car-7")["metrics"]["distance"]["windows"]
    assert windows["24h"]["increase"] == 2 * 99  # the first reading gains nothing
    assert windows["15m"]["increase"] == 2 * windows["15m"]["count"]
    found = fleet.window("24h")
    age_s = (utc_ms() - fleet.first_ms) / 1000
    assert (found["increase"], found["count"]) == (2 * 99, 100)
    assert found["rate"] == pytest.approx(2 * 99 / age_s, rel=0.01)


def test_windows_of_15_minutes_and_more_have_quantiles(fleet: Fleet):
    windows = fleet.get("/api/v1/devices/car-7")["metrics"]["speed"]["windows"]
    assert windows["1m"].keys().isdisjoint({"p50", "p95", "p99"})
    found = fleet.window("24h", "speed")
    assert found.keys().isdisjoint({"increase", "rate"})
    for name, exact in (("p50", 49.5), ("p95", 94.5), ("p99", 98.5)):
        assert windows["24h"][name] == found[name] == pytest.approx(exact, abs=1)
        assert windows["24h"][name] > windows["1h"]["p50"] > windows["24h"]["p50"] or name == "p50"
    miles = fleet.get("/api/v1/devices/car-7/metrics/speed?window=24h&unit=mph")
    assert miles["p95"] == pytest.approx(found["p95"] / 1.609344)
    distance = fleet.window("24h")
    assert distance.keys().isdisjoint({"p50", "p95", "p99"})


def test_the_history_has_neither(fleet: Fleet):
    found = fleet.window("7d")
    assert (found["count"], found["increase"], found["rate"]) == (100, None, None)
    found = fleet.window("7d", "speed")
    assert [found[name] for name in ("count", "p50", "p95", "p99")] == [100, None, None, None]


def test_promql_has_the_increase_of_each_range(fleet: Fleet):
    until_ms = fleet.times_ms[-1]
    rates, infos = fleet.points("rate(distance[5m])", until_ms - 5 * MINUTE_MS, until_ms)
    assert rates == pytest.approx([10 / 300] * 6)
    assert infos == []
    increases, _ = fleet.points("increase(distance[5m]) * 2", until_ms - MINUTE_MS, until_ms)
    assert increases == [20, 20]


def test_promql_says_how_far_increases_reach_back(fleet: Fleet):
    until_ms = fleet.times_ms[-1]
    _, infos = fleet.points("increase(distance[1h])", until_ms - 3 * 86_400_000, until_ms)
    assert "increase: known within the last 1d" in infos


def test_promql_refuses_what_is_no_counter(fleet: Fleet):
    for query, text in (
        ("rate(speed[5m])", "'speed' is not a counter"),
        ('rate({__name__=~"d.*|s.*"}[5m])', "'speed' is not a counter"),
        ("irate(distance[5m])", "irate is not supported"),
        ("rate(distance[5m:1m])", "a subquery is not supported"),
    ):
        reply = fleet.web.get(f"/prometheus/api/v1/query?query={quote(query)}")
        assert (reply.status, reply.json["errorType"]) == (400, "bad_data")
        assert text in reply.json["error"]


def test_metadata_has_the_kind(fleet: Fleet):
    found = fleet.get("/prometheus/api/v1/metadata")["data"]
    assert [found[name][0]["type"] for name in ("distance", "speed")] == ["counter", "gauge"]
