"""The filtered list of devices over HTTP: fresh, bounded, and only what a token covers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from support.processes import Server
from support.waiting import wait_until
from support.webs import Web

from api.read.fleet_store import FleetStore
from tributary.auth import tokens
from tributary.auth.tokens import Token
from tributary.errors import Refused
from tributary.model import alert, reading
from tributary.model.alert import AlertState
from tributary.model.clock import utc_ms
from tributary.settings import Settings
from tributary.store import keys

PATH = "/api/v1/fleet"
LATE_MS = 3_600_000


def store(server: Server, settings: Settings, name: str, speed: float, age_ms: int = 0) -> None:
    """Write what an aggregator would."""
    partition = keys.partition_of(name, settings.partitions)
    time = reading.rfc3339(utc_ms() - age_ms)
    latest = f'{{"device":"{name}","recorded_at":"{time}","current_speed":{speed},"average_speed":{speed}}}'
    server.client.hset(keys.latest(partition), name, latest)
    server.client.zadd(keys.devices(partition), {name: 0})


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    server = Server(tmp_path_factory.mktemp("fleet"))
    settings = Settings(redis_url=server.url, stale_after_ms=LATE_MS // 2)
    running = Web(settings)
    for name, speed, age_ms in (("car-9", 50.0, 0), ("car-10", 900.0, 0), ("van-1", 70.0, LATE_MS)):
        store(server, settings, name, speed, age_ms)
    high = {"high": AlertState("firing", 0, 70.0, "info")}
    partition = keys.partition_of("van-1", settings.partitions)
    server.client.hset(keys.alerts(partition), "van-1|speed", alert.encode(high))
    running.server = server  # type: ignore[attr-defined]
    wait_until(lambda: web_names(running, "") == ["car-9", "car-10", "van-1"], "the snapshot")
    yield running
    running.close()
    server.close()


def web_names(web: Web, query: str, token: str = "") -> list[str]:
    return [each["device"] for each in web.get(f"{PATH}?{query}", token).json["devices"]]


@pytest.mark.parametrize(
    ("query", "listed"),
    [
        ("search=CAR", ["car-9", "car-10"]),
        ("state=stale", ["van-1"]),
        ("state=alerting", ["van-1"]),
        ("state=implausible", ["car-10"]),
        ("sort=metric:speed&order=desc", ["car-10", "van-1", "car-9"]),
        ("sort=age&order=desc&limit=1", ["van-1"]),
        ("offset=2", ["van-1"]),
        ("offset=9", []),
    ],
)
def test_filters_and_sorts(web: Web, query: str, listed: list[str]):
    assert web_names(web, query) == listed


def test_reports_counts_units_and_values(web: Web):
    body = web.get(f"{PATH}?limit=1").json
    assert body["matched"] == 3
    assert body["counts"] == {"all": 3, "reporting": 2, "stale": 1, "implausible": 1, "alerting": 1}
    assert body["metrics"] == [{"metric": "speed", "unit": "km/h", "devices": 3}]
    assert body["devices"][0]["values"] == {"speed": {"current": 50.0, "average": 50.0}}


@pytest.mark.parametrize(
    "query",
    ["search=" + "x" * 129, "state=lost", "sort=speed", "order=up", "offset=-1", "offset=x",
     "limit=0", "limit=201"],
)  # fmt: skip
def test_rejects_invalid_parameters(web: Web, query: str):
    reply = web.get(f"{PATH}?{query}")
    assert (reply.status, reply.code) == (400, f"invalid_{query.partition('=')[0]}")


def test_a_snapshot_is_replaced(web: Web):
    server: Any = web.server  # type: ignore[attr-defined]
    store(server, web.settings, "new-1", 1.0)
    wait_until(lambda: web_names(web, "search=new") == ["new-1"], "the new device")
    partition = keys.partition_of("new-1", web.settings.partitions)
    server.client.hdel(keys.latest(partition), "new-1")
    server.client.zrem(keys.devices(partition), "new-1")
    wait_until(lambda: web.get(f"{PATH}?search=new").json["matched"] == 0, "its end")


def test_a_token_lists_only_what_it_covers(web: Web):
    server: Any = web.server  # type: ignore[attr-defined]
    vans = tokens.create(server.client, Token("v", "", "van-*", ("collect",), 0))
    recorder = tokens.create(server.client, Token("r", "", "*", ("record",), 0))
    wait_until(lambda: web.get(PATH, vans).status == 200 and web.get(PATH).status == 401, "tokens")
    body = web.get(PATH, vans).json
    assert [each["device"] for each in body["devices"]] == ["van-1"]
    assert body["counts"]["all"] == body["metrics"][0]["devices"] == 1
    assert web.get(PATH, recorder).status == 403


def test_too_many_devices_are_refused(
    server: Server, client: redis.Redis, change: Callable[..., Settings]
):
    settings = change(partitions=3)
    for n in range(7):
        store(server, settings, f"car-{n}", 1.0)
    assert len(FleetStore(client, settings, {}, devices_max=7).snapshot().names) == 7
    with pytest.raises(Refused, match="more than 6 devices") as caught:
        FleetStore(client, settings, {}, devices_max=6).snapshot()
    assert (caught.value.status, caught.value.code) == (422, "too_many_devices")
