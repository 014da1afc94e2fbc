"""Which origins may read: those listed, letter by letter, and none by default."""

from __future__ import annotations

import pytest

from tributary import settings
from tributary.auth import cors
from tributary.errors import Misconfigured

LISTED = cors.parse_origins("https://app.example, http://localhost:3000")


def test_nothing_is_added_unless_origins_are_listed():
    assert cors.parse_origins(settings.load({}).cors_origins) == frozenset()
    assert cors.headers(frozenset(), "https://app.example", "GET") == {}


def test_an_origin_that_is_listed_may_read():
    for origin in LISTED:
        told = cors.headers(LISTED, origin, "GET")
        assert told["Access-Control-Allow-Origin"] == origin
        assert told["Vary"] == "Origin"
        assert "Access-Control-Allow-Methods" not in told


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
def test_any_other_is_told_nothing(origin: str | None):
    for method in ("GET", "POST", "OPTIONS"):
        assert cors.headers(LISTED, origin, method) == {"Vary": "Origin"}


def test_a_browser_that_asks_beforehand_is_told_what_it_may_send():
    told = cors.headers(LISTED, "https://app.example", "OPTIONS")
    for name in ("Authorization", "Idempotency-Key", "If-None-Match"):
        assert name in told["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in told


@pytest.mark.parametrize(
    "text", ["*", "app.example", "https://app.example/", "https://*.example", "HTTPS://a", "null"]
)
def test_what_is_not_an_origin_is_a_fault_of_the_settings(text: str):
    with pytest.raises(Misconfigured, match="is not an origin; write it as a browser does"):
        settings.load({"TRIBUTARY_CORS_ORIGINS": f"https://fine.example,{text}"})
