"""Limits on time, connections and bytes: only the client that reaches one is affected."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from support.memory import resident_bytes, worker_of
from support.processes import Deployment
from support.raw import Raw, Response, connected, post, request
from support.waiting import wait_until

CONNECTIONS_MAX = 60
BODY_MAX_BYTES = 65_536
IN_FLIGHT_MAX_BYTES = 1_048_576
_CLOSE = "Connection: close"
_MIB = 1_048_576


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment with small limits."""
    limits = {
        "HEAD_TIMEOUT_MS": 1000,
        "BODY_TIMEOUT_MS": 1500,
        "IDLE_TIMEOUT_MS": 3000,
        "CONNECTIONS_MAX": CONNECTIONS_MAX,
        "BODY_MAX_BYTES": BODY_MAX_BYTES,
        "IN_FLIGHT_MAX_BYTES": IN_FLIGHT_MAX_BYTES,
    }
    environ = {f"TRIBUTARY_{name}": str(value) for name, value in limits.items()}
    deployment = Deployment(tmp_path_factory.mktemp("strict"), environ=environ)
    yield deployment
    assert deployment.stop() == 0, deployment.process.text
    assert "Traceback" not in deployment.process.text


@pytest.fixture
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment with long timeouts, so that slow clients reach the other limits first."""
    limits = {"BODY_MAX_BYTES": BODY_MAX_BYTES, "IN_FLIGHT_MAX_BYTES": IN_FLIGHT_MAX_BYTES}
    environ = {f"TRIBUTARY_{name}": str(value) for name, value in limits.items()}
    deployment = Deployment(tmp_path_factory.mktemp("lenient"), environ=environ)
    yield deployment
    assert deployment.stop() == 0, deployment.process.text


@contextlib.contextmanager
def several(url: str, count: int) -> Iterator[list[Raw]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(connected(url)) for _ in range(count)]


def exchange(url: str, data: bytes) -> list[Response]:
    """Send data on a new connection; the responses until the server closes it."""
    with connected(url) as raw:
        raw.send(data)
        return raw.responses()


def posts(url: str) -> bool:
    responses = exchange(url, post("others", _CLOSE))
    return [response.status for response in responses] == [200]


@pytest.mark.parametrize("incomplete", [b"P", b"POST /record HTTP/1.1\r\nHost: a\r\n", b"\r"])
def test_a_head_that_does_not_complete_times_out(strict: Deployment, incomplete: bytes):
    assert [response.status for response in exchange(strict.url, incomplete)] == [408]


@pytest.mark.parametrize(
    ("field", "body"), [("Content-Length: 10", b'{"n":'), ("Transfer-Encoding: chunked", b"5\r\n{")]
)
def test_a_body_that_does_not_complete_times_out(strict: Deployment, field: str, body: bytes):
    incomplete = post("before") + request("POST /record", None, field) + body
    assert [response.status for response in exchange(strict.url, incomplete)] == [200, 408]


def test_trickling_bytes_do_not_extend_the_deadline(strict: Deployment):
    with connected(strict.url) as raw:
        raw.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: ")
        raw.socket.settimeout(0.2)
        response = wait_until(lambda: trickled(raw), "the server to time out")
        assert response.status == 408


def trickled(raw: Raw) -> Response | None:
    raw.send(b"a")
    try:
        return raw.response()
    except TimeoutError:
        return None


@pytest.mark.parametrize("before", [b"", post("rests"), request("GET /healthz")])
def test_an_idle_connection_is_closed_without_a_response(strict: Deployment, before: bytes):
    responses = exchange(strict.url, before)
    assert [response.status for response in responses] == [200] * bool(before)


def test_rejects_connections_over_the_limit(strict: Deployment):
    with several(strict.url, CONNECTIONS_MAX) as connections:
        for raw in connections:
            raw.send(request("GET /healthz"))
        responses = [raw.response() for raw in connections]
        assert {response and response.status for response in responses} == {200}
        (rejected,) = exchange(strict.url, b"")
        assert rejected.status == 503
        assert b"Retry-After: 1" in rejected.head
        connections[0].send(post("inside"))
        response = connections[0].response()
        assert response is not None
        assert response.status == 200
    assert wait_until(lambda: posts(strict.url), "room for another client")


@pytest.mark.parametrize("encoding", ["length", "chunked"])
def test_incomplete_bodies_leave_room_for_complete_requests(lenient: Deployment, encoding: str):
    if encoding == "length":
        incomplete = (
            request("POST /record", None, f"Content-Length: {BODY_MAX_BYTES}") + b" " * 60_000
        )
    else:
        head = request("POST /record", None, "Transfer-Encoding: chunked")
        incomplete = head + b"ea60\r\n" + b" " * 60_000
    fitting = IN_FLIGHT_MAX_BYTES // 2 // len(incomplete)
    with several(lenient.url, 2 * fitting) as connections:
        for raw in connections:
            raw.send(incomplete)
        rejected = [raw for raw in connections if is_rejected(raw)]
        assert len(rejected) > 0
        assert posts(lenient.url)
        large = request("POST /record", b'{"n":1}' + b" " * 40_000, _CLOSE)
        assert [response.status for response in exchange(lenient.url, large)] in ([200], [503])
    # Everything they held is released, or later requests would find less room each time.
    for _ in range(3):
        wait_until(lambda: all_accepted(lenient.url, incomplete), "room for large bodies")
    assert posts(lenient.url)


def is_rejected(raw: Raw) -> bool:
    raw.socket.settimeout(0.05)
    try:
        response = raw.response()
    except TimeoutError:
        return False
    assert response is not None
    assert response.status == 503
    assert b"Retry-After: 1" in response.head
    return True


def all_accepted(url: str, incomplete: bytes) -> bool:
    """Whether half of the budget can be filled: only if all of it was released."""
    fitting = IN_FLIGHT_MAX_BYTES // 2 // (len(incomplete) + 1000)
    with several(url, fitting) as connections:
        for raw in connections:
            raw.send(incomplete)
        return not any(is_rejected(raw) for raw in connections)


def test_announcing_a_large_body_reserves_nothing(strict: Deployment):
    announced = request("POST /record", None, f"Content-Length: {BODY_MAX_BYTES}")
    with several(strict.url, CONNECTIONS_MAX - 5) as connections:
        for raw in connections:
            raw.send(announced)
        for _ in range(20):
            assert posts(strict.url)


def test_clients_that_read_no_responses_hold_little_and_are_disconnected(strict: Deployment):
    worker = worker_of(strict.process.pid)
    with several(strict.url, 20) as connections:
        before = resident_bytes(worker)
        for raw in connections:
            flood(raw)
        assert posts(strict.url)
        assert resident_bytes(worker) - before < 20 * _MIB
        for raw in connections:
            wait_until(lambda raw=raw: is_reset(raw), "the connection to be reset")
        assert posts(strict.url)


def flood(raw: Raw) -> None:
    """Send requests and read nothing, until the server stops reading."""
    requests = request("GET /collect?device=" + "x" * 100) * 2000
    raw.socket.settimeout(0.3)
    with contextlib.suppress(TimeoutError, ConnectionError):
        while True:
            raw.socket.sendall(requests)


def is_reset(raw: Raw) -> bool:
    try:
        raw.socket.send(b" ")
    except TimeoutError:
        return False
    except OSError:
        return True
    return False


def test_a_slow_reader_receives_every_response(lenient: Deployment):
    count = 3000
    with connected(lenient.url) as raw:
        raw.socket.settimeout(0.2)
        sent = request("GET /collect?device=" + "y" * 100) * count
        at = 0
        with contextlib.suppress(TimeoutError):
            while at < len(sent):
                at += raw.socket.send(sent[at:])
        raw.socket.settimeout(30)
        responses = 0
        while at < len(sent) or responses < count:
            response = raw.response()
            assert response is not None
            assert response.status == 404
            responses += 1
            if at < len(sent):
                at += raw.socket.send(sent[at : at + 1000])
        assert posts(lenient.url)
