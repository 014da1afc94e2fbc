"""Several hosts in a Redis URL are seeds of one cluster; logins are redacted."""

from __future__ import annotations

import pytest

from tributary import settings
from tributary.errors import Misconfigured
from tributary.store import redis_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h:7000/0", ["redis://h:7000/0"]),
        ("redis://h1:7000,h2:7001/0", ["redis://h1:7000/0", "redis://h2:7001/0"]),
        ("rediss://u:p@h1,h2:1/2?x=1", ["rediss://u:p@h1/2?x=1", "rediss://u:p@h2:1/2?x=1"]),
        ("redis://[::1]:7000,[::2]:7001", ["redis://[::1]:7000", "redis://[::2]:7001"]),
        ("unix:///tmp/a,b.sock", ["unix:///tmp/a,b.sock"]),
    ],
)
def test_each_host_is_a_seed_with_the_same_login(url: str, expected: list[str]):
    assert redis_url.seeds(url) == expected


@pytest.mark.parametrize(
    "url", ["redis://h1,,h2", "redis://h1:x,h2", "redis://,h2", "redis://h1,:7"]
)
def test_a_seed_without_a_host_or_port_is_misconfigured(url: str):
    with pytest.raises(Misconfigured):
        settings.load({"TRIBUTARY_REDIS_URL": url})


def test_redacts_the_login():
    for url in ("redis://u:secret@h1:1,h2:2/0", "redis://:secret@h/0"):
        assert "secret" not in redis_url.redacted(url)
        assert "h" in redis_url.redacted(url)
    assert redis_url.redacted("redis://h:1/0") == "redis://h:1/0"
