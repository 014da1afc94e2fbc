"""Limits of time, connections and bytes: whoever reaches one pays, and nobody else does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from support.memory import resident_bytes, worker_of
from support.processes import Deployment
from support.raw import Answer, Raw, connected, post, request
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
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One that gives slow clients so much time that they meet the other limits first."""
    limits = {"BODY_MAX_BYTES": BODY_MAX_BYTES, "IN_FLIGHT_MAX_BYTES": IN_FLIGHT_MAX_BYTES}
    environ = {f"TRIBUTARY_{name}": str(value) for name, value in limits.items()}
    deployment = Deployment(tmp_path_factory.mktemp("patient"), environ=environ)
    yield deployment
    assert deployment.stop() == 0, deployment.process.text


@contextlib.contextmanager
def several(url: str, count: int) -> Iterator[list[Raw]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(connected(url)) for _ in range(count)]


def asked(url: str, data: bytes) -> list[Answer]:
    """The answers on a connection of its own, until the server closes it."""
    with connected(url) as raw:
        raw.send(data)
        return raw.answers()


def posts(url: str) -> bool:
    answers = asked(url, post("honest", _CLOSE))
    return [answer.status for answer in answers] == [200]


@pytest.mark.parametrize("begun", [b"P", b"POST /record HTTP/1.1\r\nHost: a\r\n", b"\r"])
def test_a_head_that_does_not_come_to_an_end_is_given_up(strict: Deployment, begun: bytes):
    assert [answer.status for answer in asked(strict.url, begun)] == [408]


@pytest.mark.parametrize(
    ("field", "body"), [("Content-Length: 10", b'{"n":'), ("Transfer-Encoding: chunked", b"5\r\n{")]
)
def test_a_body_that_does_not_come_to_an_end_is_given_up(
    strict: Deployment, field: str, body: bytes
):
    begun = post("before") + request("POST /record", None, field) + body
    assert [answer.status for answer in asked(strict.url, begun)] == [200, 408]


def test_bytes_that_trickle_do_not_move_the_deadline(strict: Deployment):
    with connected(strict.url) as raw:
        raw.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: ")
        raw.socket.settimeout(0.2)
        answer = wait_until(lambda: trickled(raw), "the server to give up")
        assert answer.status == 408


def trickled(raw: Raw) -> Answer | None:
    raw.send(b"a")
    try:
        return raw.answer()
    except TimeoutError:
        return None


@pytest.mark.parametrize("before", [b"", post("rests"), request("GET /healthz")])
def test_a_connection_that_rests_too_long_ends_without_an_answer(strict: Deployment, before: bytes):
    answers = asked(strict.url, before)
    assert [answer.status for answer in answers] == [200] * bool(before)


def test_beyond_the_cap_of_connections_clients_are_sent_away(strict: Deployment):
    with several(strict.url, CONNECTIONS_MAX) as connections:
        for raw in connections:
            raw.send(request("GET /healthz"))
        answers = [raw.answer() for raw in connections]
        assert {answer and answer.status for answer in answers} == {200}
        (refused,) = asked(strict.url, b"")
        assert refused.status == 503
        assert b"Retry-After: 1" in refused.head
        connections[0].send(post("inside"))
        answer = connections[0].answer()
        assert answer is not None
        assert answer.status == 200
    assert wait_until(lambda: posts(strict.url), "room for others")


@pytest.mark.parametrize("encoding", ["length", "chunked"])
def test_bodies_that_wait_for_their_rest_leave_room_for_whole_requests(
    patient: Deployment, encoding: str
):
    if encoding == "length":
        begun = request("POST /record", None, f"Content-Length: {BODY_MAX_BYTES}") + b" " * 60_000
    else:
        head = request("POST /record", None, "Transfer-Encoding: chunked")
        begun = head + b"ea60\r\n" + b" " * 60_000
    fitting = IN_FLIGHT_MAX_BYTES // 2 // len(begun)
    with several(patient.url, 2 * fitting) as connections:
        for raw in connections:
            raw.send(begun)
        refused = [raw for raw in connections if sent_away(raw)]
        assert len(refused) > 0
        assert posts(patient.url)
        large = request("POST /record", b'{"n":1}' + b" " * 40_000, _CLOSE)
        assert [answer.status for answer in asked(patient.url, large)] in ([200], [503])
    # Everything they held is given back, or later ones would find less room each time.
    for _ in range(3):
        wait_until(lambda: all_taken(patient.url, begun), "room for large bodies")
    assert posts(patient.url)


def sent_away(raw: Raw) -> bool:
    raw.socket.settimeout(0.05)
    try:
        answer = raw.answer()
    except TimeoutError:
        return False
    assert answer is not None
    assert answer.status == 503
    assert b"Retry-After: 1" in answer.head
    return True


def all_taken(url: str, begun: bytes) -> bool:
    """Whether half of the budget can be filled, which it can only if nothing is missing."""
    fitting = IN_FLIGHT_MAX_BYTES // 2 // (len(begun) + 1000)
    with several(url, fitting) as connections:
        for raw in connections:
            raw.send(begun)
        return not any(sent_away(raw) for raw in connections)


def test_announcing_large_bodies_takes_nothing_away(strict: Deployment):
    announced = request("POST /record", None, f"Content-Length: {BODY_MAX_BYTES}")
    with several(strict.url, CONNECTIONS_MAX - 5) as connections:
        for raw in connections:
            raw.send(announced)
        for _ in range(20):
            assert posts(strict.url)


def test_clients_that_read_no_answers_hold_little_and_are_let_go(strict: Deployment):
    worker = worker_of(strict.process.pid)
    with several(strict.url, 20) as connections:
        before = resident_bytes(worker)
        for raw in connections:
            flood(raw)
        assert posts(strict.url)
        assert resident_bytes(worker) - before < 20 * _MIB
        for raw in connections:
            wait_until(lambda raw=raw: is_reset(raw), "the connection to be let go")
        assert posts(strict.url)


def flood(raw: Raw) -> None:
    """Send requests and read nothing, until nothing more is taken."""
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


def test_a_reader_that_is_only_slow_gets_every_answer(patient: Deployment):
    count = 3000
    with connected(patient.url) as raw:
        raw.socket.settimeout(0.2)
        sent = request("GET /collect?device=" + "y" * 100) * count
        at = 0
        with contextlib.suppress(TimeoutError):
            while at < len(sent):
                at += raw.socket.send(sent[at:])
        raw.socket.settimeout(30)
        answers = 0
        while at < len(sent) or answers < count:
            answer = raw.answer()
            assert answer is not None
            assert answer.status == 404
            answers += 1
            if at < len(sent):
                at += raw.socket.send(sent[at : at + 1000])
        assert posts(patient.url)
