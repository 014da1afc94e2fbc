"""The proxy injects exactly the faults it is set to inject."""

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
def client(proxy: Proxy) -> Iterator[redis.Redis]:
    """A client behind the proxy that does not retry."""
    client = redis.Redis.from_url(proxy.url, socket_timeout=0.3, retry=Retry(NoBackoff(), 0))
    yield client
    client.close()


@pytest.fixture
def executions(shared_server: Server) -> Callable[[], int]:
    """How often the script was executed."""
    return lambda: int(shared_server.client.get("n") or 0)


def test_forwards_unchanged_by_default(client: redis.Redis):
    assert client.echo("x" * 200_000) == b"x" * 200_000


@pytest.mark.parametrize(
    ("kind", "executed"),
    [("drop_reply", 1), ("hang", 1), ("truncate_reply", 1), ("reset_before_send", 0)],
)
def test_a_faulty_call_is_executed_or_not_but_gets_no_reply(
    proxy: Proxy,
    client: redis.Redis,
    executions: Callable[[], int],
    kind: str,
    executed: int,
):
    script = str(client.script_load(COUNT))
    proxy.inject(kind, script, 1, share=1.0)
    with pytest.raises((redis.ConnectionError, redis.TimeoutError)):
        client.evalsha(script, 1, "n")
    assert executions() == executed
    assert client.evalsha(script, 1, "n") == executed + 1
    assert proxy.conditions.injected == {kind: 1}


def test_only_calls_of_the_target_are_affected(proxy: Proxy, client: redis.Redis):
    script = str(client.script_load(COUNT))
    proxy.inject("drop_reply", script, 1, share=1.0)
    assert client.ping()
    assert proxy.pending_injections() == 1


@pytest.mark.parametrize(("direction", "executed"), [("to_server", 0), ("to_client", 1)])
def test_a_blackhole_discards_one_direction(
    proxy: Proxy,
    client: redis.Redis,
    executions: Callable[[], int],
    direction: str,
    executed: int,
):
    script = str(client.script_load(COUNT))
    proxy.blackhole(direction)
    with pytest.raises((redis.ConnectionError, redis.TimeoutError)):
        client.evalsha(script, 1, "n")
    assert executions() == executed
    proxy.heal()
    assert client.ping()


def test_a_cut_resets_existing_and_new_connections(proxy: Proxy, client: redis.Redis):
    assert client.ping()
    proxy.cut()
    for _ in range(2):
        with pytest.raises(redis.ConnectionError):
            client.ping()
    proxy.heal()
    assert client.ping()


def test_half_open_connections_are_silent_and_new_ones_work(proxy: Proxy, client: redis.Redis):
    assert client.ping()
    assert proxy.half_open() == 1
    with pytest.raises(redis.TimeoutError):
        client.ping()
    assert client.ping()


def test_a_delay_applies_to_both_directions(proxy: Proxy, client: redis.Redis):
    assert client.ping()
    proxy.conditions.delay_ms = (1000.0, 0.0)
    with pytest.raises(redis.TimeoutError):
        client.ping()


def test_a_link_ends_with_its_connection(proxy: Proxy, client: redis.Redis):
    assert client.ping()
    client.close()
    wait_until(lambda: not proxy.links, "the link to end")
