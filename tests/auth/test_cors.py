"""CORS: only listed origins may read, and none by default."""

from __future__ import annotations

import pytest

from tributary import settings
from tributary.auth import cors
from tributary.errors import Misconfigured

LISTED = cors.parse_origins("https://app.example, http://localhost:3000")


def test_adds_no_headers_unless_origins_are_listed():
    assert cors.parse_origins(settings.load({}).cors_origins) == frozenset()
    assert cors.headers(frozenset(), "https://app.example", "GET") == {}


def test_a_listed_origin_may_read():
    for origin in LISTED:
        added = cors.headers(LISTED, origin, "GET")
        assert added["Access-Control-Allow-Origin"] == origin
        assert added["Vary"] == "Origin"
        assert "Access-Control-Allow-Methods" not in added


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "*",
        "https://evil.example",
        "https://app.example.evil.example",
        "https://app.example:443",
        "http://app.example",
        "https://APP.example",
        "https://app.example/",
        "http://localhost",
    ],
)
def test_an_unlisted_origin_gets_no_permission(origin: str | None):
    for method in ("GET", "POST", "OPTIONS"):
        assert cors.headers(LISTED, origin, method) == {"Vary": "Origin"}


def test_a_preflight_lists_the_allowed_headers():
    added = cors.headers(LISTED, "https://app.example", "OPTIONS")
    for name in ("Authorization", "Idempotency-Key", "If-None-Match"):
        assert name in added["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in added


@pytest.mark.parametrize(
    "text", ["*", "app.example", "https://app.example/", "https://*.example", "HTTPS://a", "null"]
)
def test_an_invalid_origin_is_a_settings_error(text: str):
    with pytest.raises(Misconfigured, match="is not an origin; write it as a browser does"):
        settings.load({"TRIBUTARY_CORS_ORIGINS": f"https://fine.example,{text}"})
