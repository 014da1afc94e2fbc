"""Tokens at the live route and the dashboard, with the real guard."""

from __future__ import annotations

import time
from collections.abc import Callable

from support.site import Site
from support.sse import Ear
from support.waiting import wait_until

from tributary.auth import tokens
from tributary.auth.tokens import Token
from tributary.model.clock import utc_ms


def test_requires_a_token_and_disconnects_within_seconds_of_its_revocation(
    own_site: Callable[..., Site],
):
    site = own_site()
    now_ms = utc_ms()
    cars = Token("t1", "cars", "car-*", ("collect", "record"), now_ms)
    secret = tokens.create(site.server.client, cars)
    # Until the first token exists, clients on this machine need none.
    tokens.create(site.server.client, Token("t2", "other", "*", ("collect",), now_ms))
    wait_until(lambda: site.get("/api/v1/status")[0] == 401, "the guard to know")
    assert site.get("/api/v1/live?device=car-1")[0] == 401
    bearer = {"Authorization": f"Bearer {secret}"}
    assert site.get("/api/v1/status", **bearer)[0] == 200
    assert site.get("/api/v1/live?device=bus-1", **bearer)[0] == 403
    ear = Ear(site.url, "?device=car-1", **bearer)
    assert ear.response.status == 200
    tokens.revoke(site.server.client, "t1")
    revoked_s = time.monotonic()
    wait_until(lambda: ear.has_ended, "the connection to end", 5)
    assert time.monotonic() - revoked_s < 5
    ear.close()
