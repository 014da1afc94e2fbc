"""`status`, `/metrics` and `doctor` report slow fsyncs and the risk."""

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
from tributary.operate.job_runs import JobRuns
from tributary.operate.metrics import Scrape
from tributary.operate.status import Status
from tributary.operate.status.server import Server as ServerStatus
from tributary.settings import Settings

Start = Callable[..., Server]
HEALTHY = ServerStatus("8.0", 1, "master", 0, 0, "ok", "ok", 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("fields", "text"),
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
def test_a_warning_states_the_risk_and_the_remedy(fields: dict[str, int], text: str | None):
    found = msgspec.structs.replace(HEALTHY, **fields).fsync_warnings()
    assert len(found) == (text is not None)
    for warning in found:
        assert str(text) in warning
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
    """A server with slow fsyncs, one of which is running."""
    with slow_fsyncs(server, delay_ms=delay_ms):
        server.client.set("probe", 1)
        wait_until(lambda: _pending(server), "an fsync to run")
        yield server.client


def _pending(server: Server) -> bool:
    server.client.set("probe", 2)
    return bool(server.client.info("persistence")["aof_pending_bio_fsync"])


def test_reports_delayed_fsyncs_of_a_real_server(own_server: Start):
    server = own_server(appendfsync="everysec")
    settings = Settings(redis_url=server.url)
    with slow(server) as client, _writing(server):
        text = wait_until(lambda: _doctor_on_disk(server), "a warning", 60)
        assert "replies before it writes" in text
        client.set("more", "x" * 100_000)
        wait_until(lambda: _delayed(server), "a delayed fsync", 30)
        found = status.read(client, settings)
        assert found.server.aof_delayed_fsyncs >= 1
        assert b"tributary_redis_aof_delayed_fsyncs_total 0.0" not in metrics.render(
            Scrape(found, {}, {}, {}, JobRuns({}, {}), {}, {}, 0)
        )
        process = tributary("status", "--json", "--redis-url", server.url)
        process.end()
        printed = json.loads(process.text.splitlines()[0])
        assert "delayed fsyncs" in printed["warnings"][0]
        assert not [fault for fault in printed["faults"] if "fsync" in fault]
        assert "tributary: warning: delayed fsyncs" in process.text


def test_reports_fsyncs_of_half_a_second_which_redis_does_not_count(own_server: Start):
    server = own_server(appendfsync="everysec")
    settings = Settings(redis_url=server.url)
    with slow(server, delay_ms=500) as client, _writing(server):
        # A status read at the end of an fsync, or between two, finds no slow one.
        found = wait_until(lambda: _slow(status.read(client, settings)), "a slow fsync", 10)
        assert found.server.aof_delayed_fsyncs == 0
        assert "ran for at least 100 ms" in status.warnings(found)[0]
        text = wait_until(lambda: _doctor_on_disk(server), "a warning", 60)
        assert re.search(r"warning  disk .*ran for at least [1-5]\d\d ms", text), text
        assert client.info("persistence")["aof_delayed_fsync"] == 0


def _doctor_on_disk(server: Server) -> str | None:
    """What `doctor` prints if it warns of the disk; it may have looked between two fsyncs."""
    doctor = tributary("doctor", "--redis-url", server.url)
    doctor.end()
    return doctor.text if "warning  disk" in doctor.text else None


def _slow(found: Status) -> Status | None:
    return found if found.server.aof_slow_fsyncs else None


@contextmanager
def _writing(server: Server) -> Iterator[None]:
    """Write constantly: without writes Redis has nothing to sync."""
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


def test_has_no_warning_if_the_disk_keeps_up(own_server: Start):
    server = own_server(appendfsync="everysec")
    with _writing(server):
        assert status.warnings(status.read(server.client, Settings(redis_url=server.url))) == []
        doctor = tributary("doctor", "--redis-url", server.url)
        doctor.end()
    assert "ok       disk" in doctor.text
