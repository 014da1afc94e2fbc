"""A token decides what is read: 401 without one, 403 beyond it, lists of what it covers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
from support import pipeline, processes
from support.processes import Process
from support.waiting import wait_until

from tributary.auth import tokens
from tributary.auth.tokens import Scope, Token
from tributary.settings import Settings

PATHS = ["/collect?device={}", "/api/v1/devices/{}", "/api/v1/devices/{}/metrics/speed"]
Ask = Callable[..., tuple[int, Any]]


def made(client: redis.Redis, pattern: str, *scopes: Scope) -> dict[str, str]:
    """A new token, as the header field that shows it."""
    token = Token(f"id{pattern}", "test", pattern, scopes, 0)
    return {"Authorization": f"Bearer {tokens.create(client, token)}"}


@pytest.fixture
def ask(settings: Settings, server: object, run: Callable[..., Process]) -> Ask:
    """An api role over 303 devices; a request without a body to it."""
    environ = pipeline.environ(settings)
    run("aggregator", environ=environ)
    devices = ["fleet/1", "fleet/2", "other/1", *map(str, range(300))]
    readings = [{"device": device, "speed": 1} for device in devices]
    url = pipeline.ingest(run, settings)
    assert processes.request(url, "POST", "/record", readings, {})[0] == 200
    api = pipeline.serving(run("api", "--port", "0", environ=environ))

    def ask(path: str, headers: dict[str, str], method: str = "GET") -> tuple[int, Any]:
        return processes.request(api, method, path, None, headers)

    def counted() -> bool:
        return all(ask(f"/collect?device={device}", {})[0] == 200 for device in devices[:3])

    wait_until(counted, "the readings")
    return ask


def test_a_token_decides_what_is_read(ask: Ask, client: redis.Redis):
    fleet = made(client, "fleet/*", "collect")
    writer = made(client, "*", "record")
    wait_until(lambda: ask("/collect?device=fleet/1", {})[0] == 401, "tokens to be asked for")
    for path in PATHS:
        assert ask(path.format("fleet/1"), fleet)[0] == 200
        for device in ("other/1", "never"):
            assert ask(path.format(device), fleet)[0] == 403
        assert ask(path.format("fleet/1"), writer)[0] == 403
    assert ask("/collect", fleet)[0] == 403
    assert ask("/api/v1/devices", writer)[0] == 403
    _, page = ask("/api/v1/devices?limit=2", fleet)
    assert [device["device"] for device in page["devices"]] == ["fleet/1", "fleet/2"]
    assert page["next"] is None
    assert ask("/api/v1/devices?limit=1", fleet)[1]["next"] == "fleet/1"
    for query, devices in (
        ("prefix=fl", ["fleet/1", "fleet/2"]),
        ("prefix=fleet/2", ["fleet/2"]),
        ("prefix=other", []),
        ("after=fleet/1", ["fleet/2"]),
        ("after=aaa", ["fleet/1", "fleet/2"]),
        ("after=z", []),
    ):
        _, page = ask(f"/api/v1/devices?{query}", fleet)
        assert [device["device"] for device in page["devices"]] == devices


def test_without_a_token_documents_are_read_and_nothing_else(ask: Ask, client: redis.Redis):
    made(client, "*", "collect")
    wait_until(lambda: ask("/collect", {})[0] == 401, "tokens to be asked for")
    for path in (*PATHS, "/api/v1/devices", "/api/v1/devices/a/metrics/b/history"):
        assert ask(path.format("fleet/1"), {})[0] == 401
    assert ask("/openapi.json", {})[0] == 200
    assert ask("/collect", {}, "OPTIONS")[0] == 200  # a browser asks beforehand, without it
