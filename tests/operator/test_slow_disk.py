"""An fsync that takes long shows in `status`, `/metrics` and `doctor`, with what it puts at risk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis
from support.processes import Server, tributary
from support.slow_disk import slow_fsyncs
from support.waiting import wait_until

from tributary import metrics, status
from tributary.settings import Settings
from tributary.status import slow_disk

Start = Callable[..., Server]
WELL = {"aof_delayed_fsyncs": 0, "aof_pending_fsyncs": 0, "aof_unwritten_bytes": 0}


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({}, None),
        ({"aof_pending_fsyncs": 1}, None),
        ({"aof_pending_fsyncs": 1, "aof_unwritten_bytes": 1000}, None),
        ({"aof_unwritten_bytes": 1_000_000}, None),
        ({"aof_pending_fsyncs": 1, "aof_unwritten_bytes": 65_536}, "65536 acknowledged bytes"),
        ({"aof_delayed_fsyncs": 3}, "delayed since the server started: 3"),
    ],
)
def test_a_warning_says_what_is_at_risk_and_the_remedy(figures: dict[str, int], said: str | None):
    found = slow_disk.warnings(WELL | figures)
    assert len(found) == (said is not None)
    for warning in found:
        assert str(said) in warning
        assert "durability=fsync" in warning


def test_figures_of_several_nodes_are_summed_and_may_be_missing():
    nodes = [{"aof_delayed_fsync": 2, "aof_buffer_length": 5}, {"aof_pending_bio_fsync": 1}]
    assert slow_disk.figures(nodes) == {
        "aof_delayed_fsyncs": 2,
        "aof_pending_fsyncs": 1,
        "aof_unwritten_bytes": 5,
    }


@contextmanager
def slow(server: Server) -> Iterator[redis.Redis]:
    """A server whose fsyncs take long, with one of them running."""
    with slow_fsyncs(server, delay_ms=3_000):
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
        assert found["server"]["aof_delayed_fsyncs"] >= 1
        assert b"tributary_redis_aof_delayed_fsyncs_total 0.0" not in metrics.render(found)
        asked = tributary("status", "--json", "--redis-url", server.url)
        asked.end()
        told = json.loads(asked.text.splitlines()[0])
        assert "delayed since the server started" in told["warnings"][0]
        assert not [fault for fault in told["faults"] if "fsync" in fault]
        assert "tributary: warning: fsyncs" in asked.text


def _delayed(server: Server) -> bool:
    server.client.set("probe", 3)
    return bool(server.client.info("persistence")["aof_delayed_fsync"])


def test_a_disk_that_keeps_up_has_no_warning(own_server: Start):
    server = own_server(appendfsync="everysec")
    assert status.warnings(status.read(server.client, Settings(redis_url=server.url))) == []
    doctor = tributary("doctor", "--redis-url", server.url)
    doctor.end()
    assert "ok       disk" in doctor.text
