"""Any duration over HTTP: statistics, charts and rooms from Redis and the history."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from support.folding import aggregate
from support.history import archive
from support.postgres import Postgres
from support.processes import Reply
from support.waiting import wait_until
from support.webs import Web

from tributary.auth import tokens
from tributary.auth.tokens import Token
from tributary.history.database import Database
from tributary.model import reading
from tributary.model.clock import utc_ms
from tributary.settings import Settings

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
METRIC = "/api/v1/devices/{}/metrics/speed"
AGES_MS = [0, 10 * MINUTE_MS, 5 * HOUR_MS, 30 * HOUR_MS, 6 * DAY_MS, 20 * DAY_MS, 900 * DAY_MS]
COUNTS = {"15m": 2, "24h": 3, "2d": 4, "7d": 5, "30d": 6, "730d": 6, "1000d": 7}


@pytest.fixture
def own(change: Callable[..., Settings]) -> Settings:
    return change(partitions=2)


@pytest.fixture
def start(client: redis.Redis) -> Iterator[Callable[..., Web]]:
    """Serve until the end of the test."""
    started: list[Web] = []

    def serve(settings: Settings) -> Web:
        started.append(Web(settings))
        return started[-1]

    yield serve
    for web in started:
        web.close()


def record(web: Web, client: redis.Redis, device: str, ages_ms: list[int]) -> int:
    """Record readings whose values are their ages in hours, and apply them; the present."""
    now_ms = utc_ms()
    readings = [
        {"device": device, "recorded_at": now_ms - age_ms, "speed": age_ms / HOUR_MS}
        for age_ms in ages_ms
    ]
    assert web.record(readings).status == 200
    aggregate(web.settings, client)
    return now_ms


def counts(web: Web, device: str) -> dict[str, int]:
    path = METRIC.format(device)
    return {window: web.get(f"{path}?window={window}").json["count"] for window in COUNTS}


def slots(reply: Reply) -> list[tuple[int, float]]:
    assert reply.status == 200, reply
    return [(slot["count"], slot["mean"]) for slot in reply.json["slots"]]


def test_a_window_of_any_length_counts_every_reading_once(
    own: Settings, client: redis.Redis, start: Callable[..., Web]
):
    web = start(own)
    now_ms = record(web, client, "car-7", AGES_MS)
    path = METRIC.format("car-7")

    missing = web.get(f"{path}?window=7d")  # no job has created the history yet
    assert (missing.status, missing.headers["retry-after"]) == (503, "1")
    assert "TRIBUTARY_HISTORY_URL" in missing.json["error"]["message"]
    assert web.get(f"{path}?window=24h").json["count"] == COUNTS["24h"]

    Database.open(own, migrate=True).close()
    found = web.get(f"{path}?window=7d").json
    assert (found["count"], found["complete_until"], found["gaps"]) == (3, None, [])

    archive(own)
    assert counts(web, "car-7") == COUNTS
    found = web.get(f"{path}?window=30d").json
    values = [age_ms / HOUR_MS for age_ms in AGES_MS[:6]]
    assert found["mean"] == pytest.approx(statistics.fmean(values))
    assert found["stddev"] == pytest.approx(statistics.stdev(values))
    assert [found["min"], found["max"]] == [values[0], values[-1]]
    assert found["window"] == "30d"
    assert found["from"] <= reading.rfc3339(now_ms - 30 * DAY_MS) < found["to"]
    assert found["complete_until"] >= reading.rfc3339(now_ms)
    assert "complete_until" not in web.get(f"{path}?window=24h").json

    record(web, client, "car-7", [1000, 3 * DAY_MS])  # not archived yet, one of them late
    assert web.get(f"{path}?window=7d").json["count"] == COUNTS["7d"] + 1
    assert web.get(f"{path}?window=7d").json["complete_until"] < reading.rfc3339(utc_ms())
    archive(own)
    assert web.get(f"{path}?window=7d").json["count"] == COUNTS["7d"] + 2


def test_a_chart_has_the_slots_with_readings(
    own: Settings, client: redis.Redis, start: Callable[..., Web]
):
    web = start(own)
    now_ms = record(web, client, "car-7", AGES_MS)
    archive(own)
    path = f"{METRIC.format('car-7')}/history"
    for query, slot, ages_ms in (
        ("window=7d", HOUR_MS, AGES_MS[:5]),
        ("window=7d&slot=1d", DAY_MS, AGES_MS[:5]),
        (f"from={now_ms - 21 * DAY_MS}&to={now_ms - DAY_MS}", 30 * MINUTE_MS, AGES_MS[3:6]),
        (f"from={reading.rfc3339(now_ms - 990 * DAY_MS)}", DAY_MS, AGES_MS),
        (f"from={now_ms / 1000 - 7 * 86_400}&slot=7m", 7 * MINUTE_MS, AGES_MS[:5]),
        ("from=0&to=1000000", DAY_MS, []),
    ):
        found = web.get(f"{path}?{query}")
        starts = [reading.time_ms(each["from"]) for each in found.json["slots"]]
        assert starts == sorted(set(starts))
        assert {start % slot for start in starts} <= {0}
        assert found.json["slot_ms"] == slot
        assert ("window" in found.json) == ("window" in query)
        assert found.json["from"] < found.json["to"]
        total = sum(count * mean for count, mean in slots(found))
        assert sum(count for count, _ in slots(found)) == len(ages_ms), query
        assert total == pytest.approx(sum(ages_ms) / HOUR_MS)
    bounded = web.get(f"{path}?window=30d&slot=1m")
    assert (bounded.status, bounded.code) == (400, "invalid_slot")
    assert "use 5m or more" in bounded.json["error"]["message"]


def test_etags_units_and_rooms_include_the_history(
    own: Settings, client: redis.Redis, start: Callable[..., Web]
):
    web = start(own)
    room = "/api/v1/buildings/north/rooms/101/temperatures"
    for age_ms in AGES_MS:
        recorded_at = reading.rfc3339(utc_ms() - age_ms)
        assert web.ask("POST", room, {"temperature": 20, "recorded_at": recorded_at}).status == 201
    aggregate(own, client)
    Database.open(own, migrate=True).close()
    path = "/api/v1/devices/north/101/metrics/temperature/history?window=7d&unit=degF"

    def unchanged() -> Reply | None:
        again = web.get(path, If_None_Match=web.get(path).headers["etag"])
        return again if again.status == 304 else None

    assert wait_until(unchanged, "304")
    before = web.get(path)
    archive(own)
    after = web.get(path, If_None_Match=before.headers["etag"])
    assert after.status == 200
    assert sum(count for count, _ in slots(after)) == COUNTS["7d"]
    assert {mean for _, mean in slots(after)} == {68.0}
    average = web.get(f"{room}/average?duration=7d").json
    assert (average["average_temperature"], average["count"]) == (20.0, COUNTS["7d"])
    empty = web.get("/api/v1/buildings/north/rooms/102/temperatures/average?duration=7d").json
    assert (empty["average_temperature"], empty["count"], empty["gaps"]) == (None, 0, [])


def test_a_device_that_redis_no_longer_knows_is_in_the_history(
    own: Settings, client: redis.Redis, start: Callable[..., Web]
):
    web = start(own)
    record(web, client, "car-7", AGES_MS)
    archive(own)
    client.flushall()
    assert counts(web, "car-7") == COUNTS
    found = web.get(f"{METRIC.format('car-7')}/history?window=15m")
    assert (found.json["slot_ms"], sum(count for count, _ in slots(found))) == (MINUTE_MS, 2)
    for device, metric, code in (("car-7", "rpm", "metric"), ("car-8", "speed", "device")):
        for more in ("?window=15m", "?window=30d", "/history"):
            reply = web.get(f"/api/v1/devices/{device}/metrics/{metric}{more}")
            assert (reply.status, reply.code) == (404, f"unknown_{code}")


def test_without_a_history_a_longer_window_is_rejected(
    change: Callable[..., Settings], client: redis.Redis, start: Callable[..., Web]
):
    web = start(change(history="off"))
    record(web, client, "car-7", [0])
    path = METRIC.format("car-7")
    for query, field in (
        ("?window=25h", "window"),
        ("/history?window=30d", "window"),
        ("/history?from=0", "from"),
    ):
        reply = web.get(path + query)
        assert (reply.status, reply.code) == (400, f"invalid_{field}")
        assert "TRIBUTARY_HISTORY=off" in reply.json["error"]["message"]
    assert web.get(f"{path}?window=24h").json["count"] == 1
    assert web.get(METRIC.format("car-8")).status == 404


def test_tokens_limit_the_history_as_the_devices(
    own: Settings, client: redis.Redis, start: Callable[..., Web]
):
    web = start(own)
    for device in ("car-7", "van-1"):
        record(web, client, device, AGES_MS)
    archive(own)
    secret = tokens.create(client, Token("cars", "", "car-*", ("collect",), 0))
    wait_until(lambda: web.get("/collect").status == 401, "tokens to be required")
    for more in ("?window=30d", "/history?window=30d"):
        assert web.get(METRIC.format("car-7") + more, secret).status == 200
        assert web.get(METRIC.format("van-1") + more, secret).status == 403
        assert web.get(METRIC.format("car-7") + more).status == 401


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A cluster that the test may stop."""
    cluster = Postgres()
    yield cluster
    cluster.close()


def test_a_slow_database_delays_neither_collect_nor_redis(
    change: Callable[..., Settings],
    client: redis.Redis,
    start: Callable[..., Web],
    own_postgres: Postgres,
):
    settings = change(
        history_url=own_postgres.create(), history_timeout_ms=3_000, http_threads=4, partitions=2
    )
    web = start(settings)
    record(web, client, "car-7", AGES_MS)
    archive(settings)
    path = METRIC.format("car-7")
    assert web.get(f"{path}?window=30d").json["count"] == COUNTS["30d"]
    database = Database.open(settings, migrate=False)
    with database.writing() as connection, ThreadPoolExecutor(4) as pool:
        connection.exec_driver_sql("LOCK TABLE series IN ACCESS EXCLUSIVE MODE")
        pending = [pool.submit(web.get, f"{path}?window=30d") for _ in range(4)]
        wait_until(lambda: sum(each.done() for each in pending) == 2, "two to be rejected")
        rejected = [each.result() for each in pending if each.done()]
        assert {(reply.status, reply.code) for reply in rejected} == {(503, "overloaded")}
        for other in ("/collect?device=car-7", f"{path}?window=24h"):
            began_s = time.monotonic()
            assert web.get(other).status == 200
            assert time.monotonic() - began_s < settings.history_timeout_ms / 1000
        assert not all(each.done() for each in pending)
        late: list[Any] = [each.result() for each in pending]
    assert {reply.headers["retry-after"] for reply in late} == {"1"}
    assert {reply.status for reply in late} == {503}
    database.close()
    assert web.get(f"{path}?window=30d").json["count"] == COUNTS["30d"]
    own_postgres.stop()
    assert web.get(f"{path}?window=30d").status == 503
    assert web.get(f"{path}?window=24h").status == 200
    own_postgres.start()
    wait_until(lambda: web.get(f"{path}?window=30d").status == 200, "the history again")
