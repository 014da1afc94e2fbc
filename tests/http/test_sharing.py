"""Each HTTP role by itself tells the pages of the listed origins that they may read, and once."""

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
    """The origins that an answer names."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    connection.request(method, path, body, {"Origin": origin})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.headers.get_all("Access-Control-Allow-Origin", [])


@pytest.mark.parametrize("lane", ["--lane", "--no-lane"])
@pytest.mark.parametrize("role", ["ingest", "api"])
def test_a_lone_role_tells_the_origins_that_are_listed(
    role: str, lane: str, run: Callable[..., Process], change: Callable[..., Settings]
):
    environ = pipeline.environ(change(cors_origins=LISTED))
    url = pipeline.serving(run(role, "--port", "0", lane, environ=environ))
    method, own, body = ROUTES[role]
    for path in (own, "/nowhere"):
        assert allowed(url, method, path, LISTED, body) == [LISTED]
        assert allowed(url, method, path, "https://evil.example", body) == []
    assert allowed(url, "OPTIONS", own, LISTED) == [LISTED]
