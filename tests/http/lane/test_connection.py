"""One connection: responses in order, and the ways it ends."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from support.raw import Raw, connected, post, request

from lane.conftest import Watched
from lane.connection_scenarios import SCENARIOS, Scenario
from lane.memory_client import Client
from tributary.http.lane.connection import PIPELINED_MAX
from tributary.http.lane.state import TRANSITIONS, IllegalTransition, State, check_transition

_CLOSE = "Connection: close"


def mixed(number: int) -> tuple[bytes, int, bytes]:
    """A request, its status and a part of the response that is unique to it."""
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
def test_responds_to_a_long_pipeline_in_order(watched: Watched, *, is_half_closed: bool):
    sent = [mixed(number) for number in range(3 * PIPELINED_MAX)]
    with connected(watched.url) as raw:
        raw.send(b"".join(one for one, _, _ in sent))
        if is_half_closed:
            raw.finish()
        for _, status, part in sent:
            response = raw.response()
            assert response is not None
            assert response.status == status
            assert part in response.body
        if is_half_closed:
            assert raw.response() is None
    recorded = [f"unknown-{number}" for number in range(0, len(sent), 7)]
    assert watched.recorded() == recorded


def test_responds_to_a_half_closed_client_beyond_the_pipeline_limit(
    watched: Watched,
):
    count = 5 * PIPELINED_MAX
    with connected(watched.url) as raw:
        raw.send(b"".join(post(f"half-{number}") for number in range(count)))
        raw.finish()
        assert [response.status for response in raw.responses()] == [200] * count
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
def test_ignores_requests_behind_the_last_one(watched: Watched, last: bytes, behind: bytes):
    with connected(watched.url) as raw:
        raw.send(post("first") + last + behind * 3)
        assert [response.status for response in raw.responses()] == [200, 200]
    assert "behind" not in watched.recorded()


def test_rejects_after_the_responses_to_earlier_requests(watched: Watched):
    with connected(watched.url) as raw:
        raw.send(post("a") + request("GET /healthz") + post("b") + b"BROKEN\r\n\r\n" + post("c"))
        assert [response.status for response in raw.responses()] == [200, 200, 200, 400]
    assert watched.recorded() == ["a", "b"]


@pytest.mark.parametrize("target", ["/record", "/collect", "/healthz", "/api/v1/devices"])
def test_head_has_no_body_and_keeps_the_connection_usable(watched: Watched, target: str):
    with connected(watched.url) as raw:
        raw.send(request(f"HEAD {target}") + request("GET /healthz", None, _CLOSE))
        head = raw.response(has_body=False)
        assert head is not None
        assert head.status in (200, 405)
        assert [response.body for response in raw.responses()] == [b'{"healthy":true}']


@pytest.mark.parametrize("target", ["/record", "/collect", "/healthz", "*"])
def test_responds_to_options(watched: Watched, target: str):
    with connected(watched.url) as raw:
        raw.send(request(f"OPTIONS {target}") + request("GET /healthz", None, _CLOSE))
        first, second = raw.responses()
        assert first.status < 500
        assert second.status == 200


@pytest.mark.parametrize("field", ["Content-Length: 25", "Transfer-Encoding: chunked"])
def test_sends_100_continue_to_a_client_that_expects_it(watched: Watched, field: str):
    body = b'{"device":"waits","n":12}'
    if "chunked" in field:
        body = b"19\r\n" + body + b"\r\n0\r\n\r\n"
    with connected(watched.url) as raw:
        for _ in range(2):
            raw.send(request("POST /record", None, field, "Expect: 100-continue"))
            assert status(raw) == 100
            raw.send(body)
            assert status(raw) == 200
    assert watched.recorded() == ["waits", "waits"]


def test_sends_100_continue_for_a_general_route(watched: Watched):
    with connected(watched.url) as raw:
        raw.send(
            request("POST /nowhere", None, "Content-Length: 2", "Expect: 100-continue", _CLOSE)
        )
        assert status(raw) == 100
        raw.send(b"{}")
        assert [response.status for response in raw.responses()] == [404]


def test_sends_100_continue_after_the_earlier_responses(watched: Watched):
    with connected(watched.url) as raw:
        raw.send(
            request("GET /readyz")
            + post("before")
            + request("POST /record", None, "Content-Length: 21", "Expect: 100-continue")
        )
        assert [status(raw), status(raw), status(raw)] == [200, 200, 100]
        raw.send(b'{"device":"it","n":1}')
        assert status(raw) == 200


def test_accepts_a_body_sent_without_waiting_for_100_continue(watched: Watched):
    with connected(watched.url) as raw:
        raw.send(post("unasked", "Expect: 100-continue", _CLOSE))
        assert [response.status for response in raw.responses()] == [200]


@pytest.mark.parametrize("target", ["/record", "/collect", "/healthz"])
def test_does_not_send_100_continue_for_a_body_over_the_limit(watched: Watched, target: str):
    with connected(watched.url) as raw:
        raw.send(request(f"POST {target}", None, "Content-Length: 9999999", "Expect: 100-continue"))
        assert [response.status for response in raw.responses()] == [413]


@pytest.mark.parametrize("target", ["/record", "/collect", "/healthz"])
@pytest.mark.parametrize("field", ["Content-Length: 8000000", "Transfer-Encoding: chunked"])
def test_a_client_that_is_still_sending_receives_the_413(watched: Watched, target: str, field: str):
    chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    with connected(watched.url) as raw:
        raw.send(request(f"POST {target}", None, field))
        for _ in range(4_000_000 // len(chunk)):
            raw.socket.sendall(chunk)
        assert [response.status for response in raw.responses()] == [413]


def test_disconnecting_in_the_middle_of_a_request_has_no_effect(watched: Watched):
    whole = post("gone")
    for at in itertools.chain(range(1, len(whole)), range(1, len(whole), 5)):
        with connected(watched.url) as raw:
            raw.send(post("stays") + whole[:at])
    assert "gone" not in watched.recorded()


def status(raw: Raw) -> int:
    response = raw.response()
    assert response is not None, "the connection was closed"
    return response.status


def play(run: Scenario) -> set[tuple[State, State]]:
    """Run a scenario; the transitions that it has made."""
    seen: set[tuple[State, State]] = set()
    clients: list[Client] = []

    def connect(**limits: int) -> Client:
        clients.append(Client(seen, **limits))
        return clients[-1]

    async def start() -> None:
        await run(connect)
        for client in clients:
            client.connection.seen = set()
            client.connection.connection_lost(None)
            await client.general_responds()

    asyncio.run(start())
    return seen


@pytest.mark.parametrize("run", SCENARIOS, ids=lambda run: run.__name__)
def test_a_connection(run: Scenario):
    assert play(run)


def test_the_scenarios_make_every_transition_of_the_table():
    made = set().union(*map(play, SCENARIOS))
    table = {(state, after) for state, row in TRANSITIONS.items() for after in row}
    assert sorted(table - made) == sorted(made - table) == []


def test_only_the_transitions_of_the_table_are_legal():
    for state, after in itertools.product(State, State):
        if after in TRANSITIONS[state]:
            check_transition(state, after)
        else:
            with pytest.raises(IllegalTransition, match=f"{state.name} → {after.name}"):
                check_transition(state, after)


def test_every_state_can_end_and_no_transition_undoes_that():
    for state in set(State) - {State.CLOSED}:
        assert State.CLOSED in TRANSITIONS[state]
        assert state < State.DRAINING or min(TRANSITIONS[state]) > State.DRAINING
    assert not TRANSITIONS[State.CLOSED]
