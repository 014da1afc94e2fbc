"""Redis URLs, failures of redis-py at the start of a role, and who owns a partition."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.processes import Server

from tributary import settings
from tributary.errors import Misconfigured
from tributary.settings import Settings
from tributary.store import redis_client, redis_url
from tributary.store.membership import owned, owner


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


workers = st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=8)


@given(workers, st.integers(1, 64))
def test_every_partition_has_exactly_one_owner(alive: set[str], partitions: int):
    shares = [owned(worker, alive, partitions) for worker in alive]
    assert sorted(p for share in shares for p in share) == list(range(partitions))


@given(workers, st.text(min_size=1, max_size=8))
def test_only_the_partitions_of_a_worker_that_joins_or_leaves_move(alive: set[str], other: str):
    for partition in range(32):
        before, after = owner(partition, alive), owner(partition, alive | {other})
        assert after in (before, other)


def test_a_worker_always_counts_itself_as_alive():
    assert owned("me", set(), 4) == {0, 1, 2, 3}


def test_partitions_are_distributed_evenly():
    alive = {f"host-{n}" for n in range(4)}
    shares = [len(owned(worker, alive, 1024)) for worker in alive]
    assert min(shares) > 180
    assert max(shares) < 340
