"""The proxy loses exactly what it is told to lose."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.processes import Server
from support.waiting import wait_until

from faults.proxy import Proxy

COUNT = "return redis.call('INCR', KEYS[1])"


@pytest.fixture
def proxy(shared_server: Server) -> Iterator[Proxy]:
    shared_server.client.flushall()
    running = Proxy(shared_server.url, seed=1)
    yield running
    running.close()
    shared_server.client.flushall()


@pytest.fixture
def near(proxy: Proxy) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(proxy.url, socket_timeout=0.3, retry=Retry(NoBackoff(), 0))
    yield client
    client.close()


@pytest.fixture
def script(near: redis.Redis) -> str:
    return str(near.script_load(COUNT))


@pytest.fixture
def counted(shared_server: Server) -> Callable[[], int]:
    """How often the script was executed."""
    return lambda: int(shared_server.client.get("n") or 0)


def test_fine_weather_is_no_weather(near: redis.Redis):
    assert near.echo("x" * 200_000) == b"x" * 200_000


@pytest.mark.parametrize(
    "hit", [("swallow", 1), ("hang", 1), ("torn", 1), ("unsent", 0)], ids=lambda hit: hit[0]
)
def test_a_hit_is_executed_or_not_but_never_answered(
    proxy: Proxy,
    near: redis.Redis,
    script: str,
    counted: Callable[[], int],
    hit: tuple[str, int],
):
    kind, executed = hit
    proxy.hit(kind, script, 1, share=1.0)
    with pytest.raises((redis.ConnectionError, redis.TimeoutError)):
        near.evalsha(script, 1, "n")
    assert counted() == executed
    assert near.evalsha(script, 1, "n") == executed + 1
    assert proxy.weather.done == {kind: 1}


def test_only_the_target_is_hit(proxy: Proxy, near: redis.Redis, script: str):
    proxy.hit("swallow", script, 1, share=1.0)
    assert near.ping()
    assert proxy.pending_hits() == 1


@pytest.mark.parametrize("dark", [("up", 0), ("down", 1)], ids=lambda dark: dark[0])
def test_bytes_vanish_in_one_direction(
    proxy: Proxy,
    near: redis.Redis,
    script: str,
    counted: Callable[[], int],
    dark: tuple[str, int],
):
    way, executed = dark
    proxy.darken(way)
    with pytest.raises((redis.ConnectionError, redis.TimeoutError)):
        near.evalsha(script, 1, "n")
    assert counted() == executed
    proxy.mend()
    assert near.ping()


def test_a_cut_resets_old_and_new_connections(proxy: Proxy, near: redis.Redis):
    assert near.ping()
    proxy.cut()
    for _ in range(2):
        with pytest.raises(redis.ConnectionError):
            near.ping()
    proxy.mend()
    assert near.ping()


def test_half_open_connections_are_silent_and_new_ones_work(proxy: Proxy, near: redis.Redis):
    assert near.ping()
    assert proxy.half_open() == 1
    with pytest.raises(redis.TimeoutError):
        near.ping()
    assert near.ping()


def test_a_delay_holds_up_both_ways(proxy: Proxy, near: redis.Redis):
    assert near.ping()
    proxy.weather.delay_ms = (200.0, 0.0)
    with pytest.raises(redis.TimeoutError):
        near.ping()


def test_links_end_with_their_connections(proxy: Proxy, near: redis.Redis):
    assert near.ping()
    near.close()
    wait_until(lambda: not proxy.links, "the link to end")
