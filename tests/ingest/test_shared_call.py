"""Requests of several partitions that arrive together are one script call on the lane."""

from __future__ import annotations

import json
import re
import socket

import redis
from support.webs import Web

from tributary.store import keys

_STATUS = re.compile(rb"HTTP/1\.1 (\d+)")


def post_together(web: Web, bodies: list[object]) -> list[int]:
    """Send requests in one segment on one connection; the statuses of the responses."""
    requests = b""
    for body in bodies:
        packed = json.dumps(body).encode()
        requests += b"POST /record HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (
            len(packed), packed,
        )  # fmt: skip
    with socket.create_connection(("127.0.0.1", web.port), timeout=60) as connection:
        connection.sendall(requests)
        received = b""
        while received.count(b"HTTP/1.1 ") < len(bodies) or not received.endswith(b"}"):
            data = connection.recv(65_536)
            assert data, received
            received += data
    return [int(status) for status in _STATUS.findall(received)]


def calls(client: redis.Redis) -> int:
    return int(client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])


def test_requests_that_arrive_together_share_a_call_and_only_a_full_partition_rejects(
    lane: Web, web_client: redis.Redis
):
    devices = [f"car-{number}" for number in range(12)]
    full = keys.partition_of("car-7", lane.settings.partitions)
    in_it = [keys.partition_of(name, lane.settings.partitions) == full for name in devices]
    assert lane.record({"device": "car-7", "a": 1}).status == 200  # the script is cached
    web_client.hincrby(keys.meta(full), "done_entries", -lane.settings.stream_max_entries)
    try:
        before = calls(web_client)
        statuses = post_together(lane, [{"device": name, "a": 1} for name in devices])
        assert calls(web_client) == before + 1
        assert statuses == [503 if is_full else 200 for is_full in in_it]
    finally:
        web_client.hincrby(keys.meta(full), "done_entries", lane.settings.stream_max_entries)
    assert post_together(lane, [{"device": name, "a": 2} for name in devices]) == [200] * 12
