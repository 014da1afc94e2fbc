"""The proxy of compose.yaml: replicas, live updates, errors."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from support.processes import exchange, request
from support.sse import Ear
from support.waiting import wait_until

from engine.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
_READING = {"device": "car-11", "speed": 1}
_GET = "exec 3<>/dev/tcp/127.0.0.1/8404; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"


def record(stack: Stack, body: Any = _READING, **headers: str) -> tuple[int, Any]:
    return request(stack.url("ingest"), "POST", "/record", body, headers)


def responses(stack: Stack, service: str) -> dict[str, int]:
    """Responses with 200 of each replica, by its name in the proxy."""
    text = stack.exec(stack.name("proxy"), "bash", "-c", _GET).decode()
    line = r'haproxy_server_http_responses_total{proxy="%s",server="(\w+)",code="2xx"} (\d+)'
    found = re.findall(line % service, text)
    return {name: int(count) for name, count in found if int(count)}


def test_live_updates_pass_without_a_delay(stack: Stack):
    ear = Ear(stack.url("api"), "?device=car-12")
    try:
        assert record(stack, {"device": "car-12", "speed": 3})[0] == 200
        recorded_s = time.monotonic()
        heard = ear.wait_for("car-12", current_speed=3.0)
        assert heard.at_s - recorded_s < 2
    finally:
        ear.close()


def test_errors_of_the_roles_pass(stack: Stack):
    assert record(stack, [{"device": "car-11"}] * 2)[0] == 422
    url = stack.url("ingest")
    large = exchange(url, "POST", "/record", b"[" + b" " * 2_000_000 + b"]")
    assert (large.status, large.json["error"]["code"]) == (413, "body_too_large")
    long = exchange(url, "POST", "/record", _READING, **{"X-Long": "x" * 17_000})
    assert (long.status, long.json["error"]["code"]) == (431, "head_too_large")


def test_a_second_replica_is_found_and_used_and_readings_are_recorded_while_one_is_gone(
    stack: Stack,
):
    stack.scale("ingest", 2)
    try:
        wait_until(
            lambda: record(stack)[0] == 200 and len(responses(stack, "ingest")) == 2,
            "both replicas to respond",
        )
        stack.engine.run("stop", "--time", "20", stack.name("ingest"))
        assert {record(stack)[0] for _ in range(20)} == {200}
    finally:
        stack.start()
        stack.scale("ingest", 1)


def test_a_role_without_a_replica_gets_the_standard_error_body_and_the_proxy_is_not_healthy(
    stack: Stack,
):
    stack.engine.run("stop", "--time", "20", stack.name("api"))
    reply = exchange(stack.url("api"), "GET", "/collect")
    assert (reply.status, reply.json["error"]["code"]) == (503, "unavailable")
    assert reply.headers["retry-after"] == "1"
    wait_until(lambda: not stack.is_healthy(stack.name("proxy")), "the health check to fail")
    assert record(stack)[0] == 200
