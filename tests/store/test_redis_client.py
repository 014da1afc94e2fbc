"""Failures of redis-py at the start of a role."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from support.processes import Server

from tributary.errors import Misconfigured
from tributary.settings import Settings
from tributary.store import redis_client


@pytest.mark.parametrize("query", ["", "?password=wrong", "?username=nobody&password=s3cret"])
def test_a_rejected_login_is_reported_and_not_retried(
    own_server: Callable[..., Server],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    query: str,
):
    server = own_server()
    server.client.config_set("requirepass", "s3cret")

    def retry(pause_s: float) -> None:
        raise AssertionError(f"a rejected login is retried after {pause_s} s")

    monkeypatch.setattr("tributary.store.redis_client.time.sleep", retry)
    settings = msgspec.structs.replace(settings, redis_url=server.url + query)
    try:
        with pytest.raises(Misconfigured, match=r"rejected the login.*redis_url"):
            redis_client.wait_and_prepare(settings)
    finally:
        server.client.config_set("requirepass", "")
