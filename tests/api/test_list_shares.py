"""Concurrent lists use at most half of the threads, and one token half of those."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import redis
from support.processes import Reply
from support.waiting import wait_until
from support.webs import Web

from tributary.auth import tokens
from tributary.auth.tokens import Token
from tributary.settings import Settings

_PAUSE_MS = 4000


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "flask"])
def test_one_token_leaves_room_for_the_lists_of_others(
    change: Callable[..., Settings], client: redis.Redis, *, lane: bool
):
    first, second, third = (
        tokens.create(client, Token(name, "", "*", ("collect",), 0)) for name in "abc"
    )
    # Four concurrent lists, two for each token.
    web = Web(change(lane=lane, http_threads=8, redis_timeout_ms=20_000))
    try:
        with ThreadPoolExecutor(12) as pool:

            def get(secret: str, times: int) -> list[Future[Reply]]:
                return [pool.submit(web.get, "/api/v1/devices", secret) for _ in range(times)]

            assert [f.result().status for f in get(third, 1)] == [200]  # everything has started
            client.client_pause(_PAUSE_MS)  # each list takes this long
            of_first = get(first, 4)
            wait_until(lambda: sum(f.done() for f in of_first) == 2, "two of them to be rejected")
            of_second = get(second, 4)
            wait_until(lambda: sum(f.done() for f in of_second) == 2, "two of them to be rejected")
            of_third = web.get("/api/v1/devices", third)
            assert not any(f.done() and f.result().status == 200 for f in of_first + of_second)
            for several in (of_first, of_second):
                assert sorted(f.result().status for f in several) == [200, 200, 503, 503]
        assert (of_third.status, of_third.code) == (503, "overloaded")
        assert of_third.headers["retry-after"] == "1"
        rejected = next(f.result() for f in of_first if f.result().status == 503)
        assert rejected.code == "overloaded"
        assert "this token" in rejected.json["error"]["message"]
        for secret in (first, second, third):
            assert web.get("/api/v1/devices", secret).status == 200
    finally:
        web.close()
