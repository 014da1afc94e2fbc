"""An fsync that takes long shows in `status`, `/metrics` and `doctor`, with what it puts at risk."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
import pytest
import redis
from support.processes import Server, tributary
from support.slow_disk import slow_fsyncs
from support.waiting import wait_until

from tributary.operate import metrics, status
from tributary.operate.metrics import Scrape
from tributary.operate.status import Status
from tributary.operate.status.server import Server as ServerStatus
from tributary.settings import Settings

Start = Callable[..., Server]
HEALTHY = ServerStatus("8.0", 1, "master", 0, 0, "ok", "ok", 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({}, None),
        ({"aof_pending_fsyncs": 1}, None),
        ({"aof_pending_fsyncs": 1, "aof_unwritten_bytes": 1000}, None),
        ({"aof_unwritten_bytes": 1_000_000}, None),
        ({"aof_pending_fsyncs": 1, "aof_unwritten_bytes": 65_536}, "65536 acknowledged bytes"),
        ({"aof_pending_fsyncs": 1, "aof_slow_fsyncs": 1}, "ran for at least 100 ms"),
        ({"aof_delayed_fsyncs": 3}, "since the server started: 3"),
    ],
)
def test_a_warning_says_what_is_at_risk_and_the_remedy(figures: dict[str, int], said: str | None):
    found = msgspec.structs.replace(HEALTHY, **figures).fsync_warnings()
    assert len(found) == (said is not None)
    for warning in found:
        assert str(said) in warning
        assert "durability=fsync" in warning


class Node(NamedTuple):
    """A node that replies to INFO."""

    fields: dict[str, Any]

    def info(self, _section: str = "") -> dict[str, Any]:
        return {"redis_version": "8.0", "role": "master", "used_memory": 1, "maxmemory": 0} | (
            self.fields
        )


def test_counts_of_several_nodes_are_summed_and_may_be_missing():
    nodes: Any = [
        Node({"aof_delayed_fsync": 2, "aof_buffer_length": 5, "role": "slave"}),
        Node({"aof_pending_bio_fsync": 1, "maxmemory": 2}),
    ]
    assert ServerStatus.from_nodes(nodes) == ServerStatus(
        "8.0", 2, "slave", 1, 2, "ok", "ok", 2, 1, 1, 5
    )


@contextmanager
def slow(server: Server, *, delay_ms: int = 3_000) -> Iterator[redis.Redis]:
    """A server whose fsyncs take long, with one of them running."""
    with slow_fsyncs(server, delay_ms=delay_ms):
        server.client.set("probe", 1)
        wait_until(lambda: _pending(server), "an fsync to run")
        yield server.client


def _pending(server: Server) -> bool:
    server.client.set("probe", 2)
    return bool(server.client.info("persistence")["aof_pending_bio_fsync"])


def test_delayed_fsyncs_of_a_real_server_show_everywhere(own_server: Start):
    server = own_server(appendfsync="everysec")
    settings = Settings(redis_url=server.url)
    with slow(server) as client:
        doctor = tributary("doctor", "--redis-url", server.url)
        doctor.end()
        assert "warning  disk" in doctor.text
        assert "replies before it writes" in doctor.text
        client.set("more", "x" * 100_000)
        wait_until(lambda: _delayed(server), "Redis to wait for an fsync in vain", 30)
        found = status.read(client, settings)
        assert found.server.aof_delayed_fsyncs >= 1
        assert b"tributary_redis_aof_delayed_fsyncs_total 0.0" not in metrics.render(
            Scrape(found, {})
        )
        asked = tributary("status", "--json", "--redis-url", server.url)
        asked.end()
        told = json.loads(asked.text.splitlines()[0])
        assert "delayed fsyncs" in told["warnings"][0]
        assert not [fault for fault in told["faults"] if "fsync" in fault]
        assert "tributary: warning: delayed fsyncs" in asked.text


def test_fsyncs_of_half_a_second_show_although_redis_does_not_count_them(own_server: Start):
    server = own_server(appendfsync="everysec")
    settings = Settings(redis_url=server.url)
    with slow(server, delay_ms=500) as client, _writing(server):
        # A look that comes at the end of an fsync, or between two, finds none that is slow.
        found = wait_until(lambda: _slow(status.read(client, settings)), "a slow fsync to show", 10)
        assert found.server.aof_delayed_fsyncs == 0
        assert "ran for at least 100 ms" in status.warnings(found)[0]
        doctor = tributary("doctor", "--redis-url", server.url)
        doctor.end()
        assert re.search(r"warning  disk .*ran for at least [1-5]\d\d ms", doctor.text), doctor.text
        assert client.info("persistence")["aof_delayed_fsync"] == 0


def _slow(found: Status) -> Status | None:
    return found if found.server.aof_slow_fsyncs else None


@contextmanager
def _writing(server: Server) -> Iterator[None]:
    """Writes all the time: without them Redis has nothing to sync."""
    ended = threading.Event()

    def write() -> None:
        with redis.Redis.from_url(server.url) as client:
            while not ended.wait(0.005):
                client.set("load", "x" * 100)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()


def _delayed(server: Server) -> bool:
    server.client.set("probe", 3)
    return bool(server.client.info("persistence")["aof_delayed_fsync"])


def test_a_disk_that_keeps_up_has_no_warning(own_server: Start):
    server = own_server(appendfsync="everysec")
    with _writing(server):
        assert status.warnings(status.read(server.client, Settings(redis_url=server.url))) == []
        doctor = tributary("doctor", "--redis-url", server.url)
        doctor.end()
    assert "ok       disk" in doctor.text
