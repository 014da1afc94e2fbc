"""Redis URLs, failures of redis-py at the start of a role, and who owns a partition."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import msgspec
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from support.processes import Server

from tributary import settings
from tributary.errors import Misconfigured
from tributary.settings import Settings
from tributary.store import keys, redis_client, redis_url
from tributary.store.membership import owned, owners


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


def loaded(server: Server, **given: str) -> Settings:
    """The settings of a role, as it reads them."""
    return settings.load({"TRIBUTARY_REDIS_URL": server.url, **given})


@pytest.mark.parametrize(
    ("stored", "given", "partitions", "stream_max_entries"),
    [
        (None, {}, 4, 400_000),
        (16, {}, 16, 100_000),
        (64, {}, 64, 100_000),
        (1, {"TRIBUTARY_STREAM_MAX_ENTRIES": "5000"}, 1, 5000),
        (None, {"TRIBUTARY_PARTITIONS": "8"}, 8, 200_000),
        (8, {"TRIBUTARY_PARTITIONS": "8"}, 8, 200_000),
    ],
)
def test_roles_and_commands_go_on_with_the_partitions_of_the_data(
    server: Server,
    stored: int | None,
    given: dict[str, str],
    partitions: int,
    stream_max_entries: int,
):
    if stored:
        server.client.hset(keys.CONFIG, "partitions", stored)
    role = redis_client.wait_and_prepare(loaded(server, **given))
    assert (role.partitions, role.stream_max_entries) == (partitions, stream_max_entries)
    assert server.client.hget(keys.CONFIG, "partitions") == str(partitions).encode()
    command = redis_client.adopt(server.client, loaded(server))
    assert command.partitions == partitions


def test_a_role_refuses_another_number_of_partitions_than_the_data_has(server: Server):
    server.client.hset(keys.CONFIG, "partitions", 16)
    with pytest.raises(Misconfigured, match="partitions is 16 in Redis, 4 here"):
        redis_client.wait_and_prepare(loaded(server, TRIBUTARY_PARTITIONS="4"))


@pytest.mark.parametrize("others", ["", "7"])
def test_roles_that_start_at_the_same_moment_agree(server: Server, others: str):
    """Each role without a number gets that of the one that was first."""
    found: list[int] = []
    together = threading.Barrier(8)

    def start(number: int) -> None:
        own = {"TRIBUTARY_PARTITIONS": others} if others and number % 2 else {}
        together.wait()
        # One that was given a number may be refused.
        with contextlib.suppress(*([Misconfigured] if own else [])):
            found.append(redis_client.wait_and_prepare(loaded(server, **own)).partitions)

    threads = [threading.Thread(target=start, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = int(redis.Redis.hget(server.client, keys.CONFIG, "partitions"))
    assert stored in (4, int(others or 4))
    assert set(found) == {stored}
    assert len(found) >= 4


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


@given(workers, st.integers(1, 64))
def test_no_worker_has_two_partitions_more_than_another(alive: set[str], partitions: int):
    shares = [len(owned(worker, alive, partitions)) for worker in alive]
    assert max(shares) - min(shares) <= 1


def test_few_partitions_move_when_a_worker_joins_or_leaves():
    """At least 16 of 64 partitions have to move when a fourth worker joins."""
    moved = []
    for number in range(20):
        alive = {f"host-{number}-{each}" for each in range(3)}
        before, after = owners(alive, 64), owners(alive | {f"other-{number}"}, 64)
        moved.append(sum(old != new for old, new in zip(before, after, strict=True)))
    assert sum(moved) / len(moved) < 24, moved


def test_a_worker_always_counts_itself_as_alive():
    assert owned("me", set(), 4) == {0, 1, 2, 3}
