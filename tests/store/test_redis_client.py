"""What the failures of redis-py mean to a role that starts."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from support.processes import Server

from tributary.errors import Misconfigured
from tributary.settings import Settings
from tributary.store import redis_client


@pytest.mark.parametrize("query", ["", "?password=wrong", "?username=nobody&password=s3cret"])
def test_a_refused_login_is_told_as_one_and_not_retried(
    own_server: Callable[..., Server],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    query: str,
):
    server = own_server()
    server.client.config_set("requirepass", "s3cret")

    def retry(pause_s: float) -> None:
        raise AssertionError(f"a refused login is tried again after {pause_s} s")

    monkeypatch.setattr("tributary.store.redis_client.time.sleep", retry)
    settings = msgspec.structs.replace(settings, redis_url=server.url + query)
    try:
        with pytest.raises(Misconfigured, match=r"refuses the login.*redis_url"):
            redis_client.wait_and_prepare(settings)
    finally:
        server.client.config_set("requirepass", "")
