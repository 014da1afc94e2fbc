"""CORS header fields of each HTTP role, with and without the lane."""

from __future__ import annotations

import http.client
from collections.abc import Callable

import pytest
from support import pipeline
from support.processes import Process

from tributary.settings import Settings

LISTED = "https://app.example"
ROUTES = {"ingest": ("POST", "/record", '{"speed": 72}'), "api": ("GET", "/collect", None)}


def allowed(url: str, method: str, path: str, origin: str, body: str | None = None) -> list[str]:
    """The origins that a response allows."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    connection.request(method, path, body, {"Origin": origin})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.headers.get_all("Access-Control-Allow-Origin", [])


@pytest.mark.parametrize("lane", ["--lane", "--no-lane"])
@pytest.mark.parametrize("role", ["ingest", "api"])
def test_each_role_alone_allows_the_listed_origins(
    role: str, lane: str, run: Callable[..., Process], change: Callable[..., Settings]
):
    environ = pipeline.environ(change(cors_origins=LISTED))
    url = pipeline.serving(run(role, "--port", "0", lane, environ=environ))
    method, own, body = ROUTES[role]
    for path in (own, "/nowhere"):
        assert allowed(url, method, path, LISTED, body) == [LISTED]
        assert allowed(url, method, path, "https://evil.example", body) == []
    assert allowed(url, "OPTIONS", own, LISTED) == [LISTED]
