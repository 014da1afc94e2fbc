"""What one connection may expect: answers in order, to the last, and ends as HTTP has them."""

from __future__ import annotations

import itertools

import pytest
from support.raw import Raw, connected, post, request

from lane.conftest import Watched
from tributary.http.lane.connection import PIPELINED_MAX

_CLOSE = "Connection: close"


def mixed(number: int) -> tuple[bytes, int, bytes]:
    """A request, the status and a part of the answer that only it has."""
    name = f"unknown-{number}"
    kinds = (
        (post(name), 200, b'"success":true'),
        (request(f"GET /collect?device={name}"), 404, name.encode()),
        (request("GET /healthz"), 200, b"healthy"),
        (request("POST /record", b'{"n":"x"}'), 422, b"'n'"),
        (request(f"GET /api/v1/devices/never-{name}"), 404, b"never-" + name.encode()),
        (request("POST /record", b"{"), 400, b"json"),
        (request("GET /nowhere"), 404, b"not_found"),
    )
    return kinds[number % len(kinds)]


@pytest.mark.parametrize("is_half_closed", [False, True])
def test_a_long_pipeline_is_answered_in_order_to_the_last(
    watched: Watched, *, is_half_closed: bool
):
    sent = [mixed(number) for number in range(3 * PIPELINED_MAX)]
    with connected(watched.url) as raw:
        raw.send(b"".join(one for one, _, _ in sent))
        if is_half_closed:
            raw.finish()
        for _, status, part in sent:
            answer = raw.answer()
            assert answer is not None
            assert answer.status == status
            assert part in answer.body
        if is_half_closed:
            assert raw.answer() is None
    recorded = [f"unknown-{number}" for number in range(0, len(sent), 7)]
    assert watched.recorded() == recorded


def test_hot_requests_beyond_the_pipeline_limit_are_answered_to_a_half_closed_client(
    watched: Watched,
):
    count = 5 * PIPELINED_MAX
    with connected(watched.url) as raw:
        raw.send(b"".join(post(f"half-{number}") for number in range(count)))
        raw.finish()
        assert [answer.status for answer in raw.answers()] == [200] * count
    assert watched.recorded() == [f"half-{number}" for number in range(count)]


@pytest.mark.parametrize(
    "last",
    [
        post("last", _CLOSE),
        request("GET /collect", None, _CLOSE),
        request("GET /healthz", None, _CLOSE),
        request("GET /healthz").replace(b"/1.1", b"/1.0"),
    ],
)
@pytest.mark.parametrize("behind", [post("behind"), request("GET /healthz")])
def test_nothing_behind_the_last_request_is_taken(watched: Watched, last: bytes, behind: bytes):
    with connected(watched.url) as raw:
        raw.send(post("first") + last + behind * 3)
        assert [answer.status for answer in raw.answers()] == [200, 200]
    assert "behind" not in watched.recorded()


def test_a_fault_is_answered_after_what_came_before_it(watched: Watched):
    with connected(watched.url) as raw:
        raw.send(post("a") + request("GET /healthz") + post("b") + b"BROKEN\r\n\r\n" + post("c"))
        assert [answer.status for answer in raw.answers()] == [200, 200, 200, 400]
    assert watched.recorded() == ["a", "b"]


@pytest.mark.parametrize("target", ["/record", "/collect", "/healthz", "/api/v1/devices"])
def test_head_has_no_body_and_leaves_the_connection_in_step(watched: Watched, target: str):
    with connected(watched.url) as raw:
        raw.send(request(f"HEAD {target}") + request("GET /healthz", None, _CLOSE))
        head = raw.answer(has_body=False)
        assert head is not None
        assert head.status in (200, 405)
        assert [answer.body for answer in raw.answers()] == [b'{"healthy":true}']


@pytest.mark.parametrize("target", ["/record", "/collect", "/healthz", "*"])
def test_options_are_answered(watched: Watched, target: str):
    with connected(watched.url) as raw:
        raw.send(request(f"OPTIONS {target}") + request("GET /healthz", None, _CLOSE))
        first, second = raw.answers()
        assert first.status < 500
        assert second.status == 200


@pytest.mark.parametrize("field", ["Content-Length: 25", "Transfer-Encoding: chunked"])
def test_a_body_is_asked_for_where_the_client_waits_to_be_asked(watched: Watched, field: str):
    body = b'{"device":"asked","n":12}'
    if "chunked" in field:
        body = b"19\r\n" + body + b"\r\n0\r\n\r\n"
    with connected(watched.url) as raw:
        for _ in range(2):
            raw.send(request("POST /record", None, field, "Expect: 100-continue"))
            assert status(raw) == 100
            raw.send(body)
            assert status(raw) == 200
    assert watched.recorded() == ["asked", "asked"]


def test_a_general_route_asks_for_a_body_as_well(watched: Watched):
    with connected(watched.url) as raw:
        raw.send(
            request("POST /nowhere", None, "Content-Length: 2", "Expect: 100-continue", _CLOSE)
        )
        assert status(raw) == 100
        raw.send(b"{}")
        assert [answer.status for answer in raw.answers()] == [404]


def test_it_is_asked_for_only_when_what_came_before_is_answered(watched: Watched):
    with connected(watched.url) as raw:
        raw.send(
            request("GET /readyz")
            + post("before")
            + request("POST /record", None, "Content-Length: 21", "Expect: 100-continue")
        )
        assert [status(raw), status(raw), status(raw)] == [200, 200, 100]
        raw.send(b'{"device":"it","n":1}')
        assert status(raw) == 200


def test_a_body_that_comes_unasked_is_taken_as_it_is(watched: Watched):
    with connected(watched.url) as raw:
        raw.send(post("unasked", "Expect: 100-continue", _CLOSE))
        assert [answer.status for answer in raw.answers()] == [200]


@pytest.mark.parametrize("target", ["/record", "/collect", "/healthz"])
def test_a_body_that_is_too_large_is_not_asked_for(watched: Watched, target: str):
    with connected(watched.url) as raw:
        raw.send(request(f"POST {target}", None, "Content-Length: 9999999", "Expect: 100-continue"))
        assert [answer.status for answer in raw.answers()] == [413]


@pytest.mark.parametrize("target", ["/record", "/collect", "/healthz"])
@pytest.mark.parametrize("field", ["Content-Length: 8000000", "Transfer-Encoding: chunked"])
def test_a_client_that_is_still_sending_gets_its_413_and_no_reset(
    watched: Watched, target: str, field: str
):
    chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    with connected(watched.url) as raw:
        raw.send(request(f"POST {target}", None, field))
        for _ in range(4_000_000 // len(chunk)):
            raw.socket.sendall(chunk)
        assert [answer.status for answer in raw.answers()] == [413]


def test_clients_that_leave_in_the_middle_disturb_nobody(watched: Watched):
    whole = post("gone")
    for at in itertools.chain(range(1, len(whole)), range(1, len(whole), 5)):
        with connected(watched.url) as raw:
            raw.send(post("stays") + whole[:at])
    assert "gone" not in watched.recorded()


def status(raw: Raw) -> int:
    answer = raw.answer()
    assert answer is not None, "the connection has ended"
    return answer.status
