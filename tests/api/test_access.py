"""Tokens limit what can be read: 401 without one, 403 for other devices, filtered lists."""

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
Get = Callable[..., tuple[int, Any]]


def create_token(client: redis.Redis, pattern: str, *scopes: Scope) -> dict[str, str]:
    """Create a token; returns the request header with it."""
    token = Token(f"id{pattern}", "test", pattern, scopes, 0)
    return {"Authorization": f"Bearer {tokens.create(client, token)}"}


@pytest.fixture
def get(settings: Settings, server: object, run: Callable[..., Process]) -> Get:
    """Serve 303 devices; returns a function that sends a request without a body."""
    environ = pipeline.environ(settings)
    run("aggregator", environ=environ)
    devices = ["fleet/1", "fleet/2", "other/1", *map(str, range(300))]
    readings = [{"device": device, "speed": 1} for device in devices]
    url = pipeline.ingest(run, settings)
    assert processes.request(url, "POST", "/record", readings, {})[0] == 200
    api = pipeline.serving(run("api", "--port", "0", environ=environ))

    def get(path: str, headers: dict[str, str], method: str = "GET") -> tuple[int, Any]:
        return processes.request(api, method, path, None, headers)

    def are_applied() -> bool:
        return all(get(f"/collect?device={device}", {})[0] == 200 for device in devices[:3])

    wait_until(are_applied, "the readings")
    return get


def test_a_token_limits_what_can_be_read_except_documents(get: Get, client: redis.Redis):
    fleet = create_token(client, "fleet/*", "collect")
    writer = create_token(client, "*", "record")
    wait_until(lambda: get("/collect?device=fleet/1", {})[0] == 401, "tokens to be required")
    for path in PATHS:
        assert get(path.format("fleet/1"), fleet)[0] == 200
        for device in ("other/1", "never"):
            assert get(path.format(device), fleet)[0] == 403
        assert get(path.format("fleet/1"), writer)[0] == 403
    assert get("/collect", fleet)[0] == 403
    assert get("/api/v1/devices", writer)[0] == 403
    _, page = get("/api/v1/devices?limit=2", fleet)
    assert [device["device"] for device in page["devices"]] == ["fleet/1", "fleet/2"]
    assert page["next"] is None
    assert get("/api/v1/devices?limit=1", fleet)[1]["next"] == "fleet/1"
    for query, devices in (
        ("prefix=fl", ["fleet/1", "fleet/2"]),
        ("prefix=fleet/2", ["fleet/2"]),
        ("prefix=other", []),
        ("after=fleet/1", ["fleet/2"]),
        ("after=aaa", ["fleet/1", "fleet/2"]),
        ("after=z", []),
    ):
        _, page = get(f"/api/v1/devices?{query}", fleet)
        assert [device["device"] for device in page["devices"]] == devices
    for path in (*PATHS, "/api/v1/devices", "/api/v1/devices/a/metrics/b/history"):
        assert get(path.format("fleet/1"), {})[0] == 401
    assert get("/openapi.json", {})[0] == 200
    assert get("/collect", {}, "OPTIONS")[0] == 200  # a preflight request has no token
