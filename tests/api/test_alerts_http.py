"""The list of alerts over HTTP and on the command line: filtered, paged, only what a token covers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from support import forking
from support.processes import Server
from support.waiting import wait_until
from support.webs import Web

from tributary.auth import tokens
from tributary.auth.tokens import Token
from tributary.model import alert, reading
from tributary.model.alert import AlertState
from tributary.settings import Settings
from tributary.store import keys, redis_client

PATH = "/api/v1/alerts"
SINCE_MS = 1_795_341_600_250


def store(server: Server, settings: Settings, series: str, **states: AlertState) -> None:
    """Write what an aggregator would."""
    partition = keys.partition_of(series.partition("|")[0], settings.partitions)
    server.client.hset(keys.alerts(partition), series, alert.encode(states))


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    server = Server(tmp_path_factory.mktemp("alerts"))
    settings = Settings(redis_url=server.url, partitions=4)
    redis_client.prepare(server.client, settings)
    running = Web(settings)
    high = AlertState("firing", SINCE_MS, 111.0, "critical")
    warm = AlertState("pending", SINCE_MS + 1000, 60.0, "info")
    store(server, settings, "car-9|engine_temperature", overheating=high, warm=warm)
    store(server, settings, "van-1|speed", fast=warm)
    running.server = server  # type: ignore[attr-defined]
    yield running
    running.close()
    server.close()


def rules(web: Web, query: str = "", token: str = "") -> list[tuple[str, str]]:
    alerts = web.get(f"{PATH}?{query}", token).json["alerts"]
    return [(each["device"], each["rule"]) for each in alerts]


def test_lists_what_is_not_ok_the_latest_first(web: Web):
    body = web.get(PATH).json
    assert body["next"] is None
    assert [each["rule"] for each in body["alerts"]] == ["fast", "warm", "overheating"]
    assert body["alerts"][2] == {
        "device": "car-9", "metric": "engine_temperature", "rule": "overheating",
        "severity": "critical", "state": "firing", "since": reading.rfc3339(SINCE_MS),
        "value": 111.0,
    }  # fmt: skip


def test_filters_by_state_and_device(web: Web):
    assert rules(web, "state=firing") == [("car-9", "overheating")]
    assert rules(web, "device=van-1") == [("van-1", "fast")]
    assert rules(web, "device=car-9&state=pending") == [("car-9", "warm")]
    assert rules(web, "device=car-99") == []


def test_pages_contain_every_alert_once(web: Web):
    server: Any = web.server  # type: ignore[attr-defined]
    for n in range(2000):
        state = AlertState("firing", SINCE_MS, float(n), "info")
        store(server, web.settings, f"many-{n}|m", high=state)
    found: list[str] = []
    after, pages = "", 0
    while True:
        body = web.get(f"{PATH}?limit=300{after}").json
        found += [each["device"] for each in body["alerts"]]
        pages += 1
        if body["next"] is None:
            break
        after = f"&after={body['next']}"
    assert len(found) == len(set(found)) + 1 == 2003  # two of car-9
    assert pages > 1
    for partition in range(web.settings.partitions):
        names = [n for n in server.client.hkeys(keys.alerts(partition)) if n.startswith(b"many")]
        server.client.hdel(keys.alerts(partition), *names)


@pytest.mark.parametrize(
    "query",
    ["state=ok", "state=x", "limit=0", "limit=10001", "after=x", "after=1-99999999999999999999"],
)
def test_rejects_invalid_parameters(web: Web, query: str):
    reply = web.get(f"{PATH}?{query}")
    assert (reply.status, reply.code) == (400, f"invalid_{query.partition('=')[0]}")
    assert web.get(f"{PATH}?device=a%20b").status == 404


def test_the_command_lists_the_same(web: Web):
    command = [sys.executable, "-m", "tributary", "alerts", "--redis-url", web.settings.redis_url]
    done = forking.run([*command, "--json"])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == web.get(PATH).json["alerts"]
    done = forking.run([*command, "--state", "firing", "--device", "car-9"])
    assert "overheating" in done.stdout
    assert "warm" not in done.stdout


def test_a_token_lists_only_what_it_covers(web: Web):
    server: Any = web.server  # type: ignore[attr-defined]
    vans = tokens.create(server.client, Token("v", "", "van-*", ("collect",), 0))
    wait_until(lambda: web.get(PATH, vans).status == 200 and web.get(PATH).status == 401, "tokens")
    assert rules(web, "", vans) == [("van-1", "fast")]
    assert web.get(f"{PATH}?device=car-9", vans).status == 403
