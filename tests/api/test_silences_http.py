"""Silences over HTTP: made, changed, listed and ended, with a token that may operate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from support.processes import Server
from support.waiting import wait_until
from support.webs import Web

from api.read import silence_handlers
from tributary.auth import tokens
from tributary.auth.guard import Guard
from tributary.auth.tokens import Token
from tributary.http import flask_app
from tributary.model import reading
from tributary.model.clock import utc_ms
from tributary.settings import Settings
from tributary.store import keys, redis_client

PATH = "/api/v1/alerts/silences"
NAMES = {"device": "car-9", "metric": "speed", "rule": "too_fast"}
UNTIL = reading.rfc3339(utc_ms() + 3_600_000)
WANTED = {**NAMES, "until": UNTIL}
QUERY = "device=car-9&metric=speed&rule=too_fast"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    server = Server(tmp_path_factory.mktemp("silences"))
    settings = Settings(redis_url=server.url, partitions=4)
    redis_client.prepare(server.client, settings)
    partition = keys.partition_of("car-9", settings.partitions)
    server.client.hset(keys.rows(partition), keys.series("car-9", "speed"), "0")
    running = Web(settings)
    running.server = server  # type: ignore[attr-defined]
    yield running
    running.close()
    server.close()


def silences(web: Web, token: str = "") -> list[Any]:
    return list(web.get(PATH, token).json["silences"])


def test_a_silence_is_listed_until_it_ends(web: Web):
    assert silences(web) == []
    later = reading.rfc3339(utc_ms() + 7_200_000)
    for wanted in (WANTED, {**NAMES, "until": later}):
        reply = web.ask("POST", PATH, wanted)
        assert (reply.status, reply.json) == (200, wanted)
        assert silences(web) == [wanted]
    assert web.ask("DELETE", f"{PATH}?{QUERY}").status == 204
    assert silences(web) == []
    reply = web.ask("DELETE", f"{PATH}?{QUERY}")
    assert (reply.status, reply.code) == (404, "unknown_silence")


def test_a_list_that_is_cut_says_so(
    client: redis.Redis, change: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
):
    settings = change(partitions=1)
    client.hset(keys.rows(0), keys.series("car-9", "speed"), "0")
    routes = silence_handlers.blueprint(settings, client, Guard(settings, client))
    http = flask_app.make_app("test", routes).test_client()
    for rule in ("too_fast", "too_slow"):
        assert http.post(PATH, json={**WANTED, "rule": rule}).status_code == 200
    assert http.get(PATH).get_json()["is_complete"] is True
    monkeypatch.setattr(silence_handlers, "LISTED_MAX", 1)
    reply = http.get(PATH).get_json()
    assert (len(reply["silences"]), reply["is_complete"]) == (1, False)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "not_json"),
        ([], 400, "wrong_shape"),
        (NAMES, 400, "wrong_shape"),
        ({**WANTED, "by": "me"}, 400, "wrong_shape"),
        ({**WANTED, "device": "a b"}, 400, "invalid_device"),
        ({**WANTED, "device": 7}, 400, "invalid_device"),
        ({**WANTED, "metric": "device"}, 400, "invalid_metric"),
        ({**WANTED, "rule": "a|b"}, 400, "invalid_rule"),
        ({**WANTED, "until": "2026-11-22T12:00:00"}, 400, "invalid_until"),
        ({**WANTED, "until": "2020-11-22T12:00:00Z"}, 400, "invalid_until"),
        ({**WANTED, "until": 2e9}, 400, "invalid_until"),
        ({**WANTED, "device": "car-8"}, 404, "unknown_series"),
    ],
)
def test_rejects_what_is_not_a_silence(web: Web, body: Any, status: int, code: str):
    reply = web.ask("POST", PATH, body)
    assert (reply.status, reply.code) == (status, code)
    assert silences(web) == []


def test_changes_need_a_token_that_may_operate_and_covers_the_device(web: Web):
    cross = {"Sec_Fetch_Site": "cross-site", "Origin": "http://evil.example"}
    assert web.ask("POST", PATH, WANTED, **cross).code == "cross_site"
    server: Any = web.server  # type: ignore[attr-defined]
    made = {
        name: tokens.create(server.client, Token(name, "", pattern, scopes, 0))
        for name, pattern, scopes in (
            ("all", "*", ("operate", "collect")), ("reads", "*", ("collect",)),
            ("vans", "van-*", ("operate", "collect")),
        )
    }  # fmt: skip
    wait_until(lambda: web.get(PATH).status == 401, "tokens to be required")
    wait_until(lambda: web.get(PATH, made["vans"]).status == 200, "the last token")
    assert web.ask("POST", PATH, WANTED).status == 401
    for name in ("reads", "vans"):
        assert web.ask("POST", PATH, WANTED, made[name]).status == 403
        assert web.ask("DELETE", f"{PATH}?{QUERY}", token=made[name]).status == 403
    assert web.ask("POST", PATH, WANTED, made["all"]).status == 200
    assert silences(web, made["reads"]) == [WANTED]
    assert silences(web, made["vans"]) == []
