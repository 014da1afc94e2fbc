"""The framer: however the bytes are split, it yields the same requests or rejection."""

from __future__ import annotations

import itertools

import httptools
from hypothesis import given
from hypothesis import strategies as st
from support.raw import post, request

from lane.corpus import CORPUS, Case, filled
from tributary.http.lane.framing import CompleteRequest, Framer, check_line
from tributary.http.lane.head import Heads, Rejection

BODY_MAX_BYTES = 2000
Framed = list[tuple[bytes, bytes] | int]


def framed(*pieces: bytes, heads: Heads | None = None) -> Framed:
    """The result for these pieces: (line, body) of each request, and the status of a rejection."""
    framer = Framer(heads or Heads(), BODY_MAX_BYTES)
    found: Framed = []
    for piece in pieces:
        framer.feed(piece)
        while (got := framer.next()) is not None:
            rejection = got if isinstance(got, Rejection) else check_line(got.line)
            if rejection is not None:
                return [*found, rejection.status]
            assert isinstance(got, CompleteRequest)
            found.append((got.line, got.body))
    return found


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place for place in places if place < len(raw)} | {len(raw)})
    return [raw[a:b] for a, b in itertools.pairwise([0, *ends])]


def test_any_split_in_two_and_single_bytes_yield_the_same_requests():
    for case in CORPUS:
        raw = filled(case, "/record", "first") + post("second")
        heads = Heads()
        whole = framed(raw, heads=heads)
        assert whole, case.name
        step = max(1, len(raw) // 200)
        for at in range(0, len(raw), step):
            assert framed(raw[:at], raw[at:], heads=heads) == whole, (case.name, raw[:at])
        assert framed(*(raw[at : at + 1] for at in range(len(raw)))) == framed(raw), case.name


def requests() -> st.SearchStrategy[tuple[bytes, bytes, bytes]]:
    """A request as bytes, with the expected line and body."""
    bodies = st.binary(max_size=300)
    lines = st.sampled_from([b"POST /record", b"GET /collect?device=a", b"PUT /x", b"POST /"])

    def plain(line: bytes, body: bytes) -> tuple[bytes, bytes, bytes]:
        return request(line.decode(), body), line + b" HTTP/1.1", body

    def chunked(line: bytes, body: bytes, size: int, rest: bytes) -> tuple[bytes, bytes, bytes]:
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), rest, piece) for piece in pieces)
        head = request(line.decode(), None, "Transfer-Encoding: chunked")
        return head + chunks + b"0\r\n\r\n", line + b" HTTP/1.1", body

    extensions = st.sampled_from([b"", b";a", b";a=b", b';a="b"'])
    return st.builds(plain, lines, bodies) | st.builds(
        chunked, lines, bodies, st.integers(1, 64), extensions
    )


@given(st.lists(requests(), min_size=1, max_size=5), st.lists(st.integers(1, 2000), max_size=20))
def test_a_pipeline_in_any_pieces_yields_its_requests(
    sent: list[tuple[bytes, bytes, bytes]], places: list[int]
):
    raw = b"".join(one for one, _, _ in sent)
    assert framed(*cut(raw, places)) == [(line, body) for _, line, body in sent]


@given(
    st.sampled_from(CORPUS),
    st.integers(0, 200),
    st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b"\x00", b":", b"0", b"\xff", b"\r\n\r\n"]),
    st.lists(st.integers(1, 400), max_size=8),
)
def test_a_damaged_request_in_any_pieces_yields_the_same_result(
    case: Case, place: int, damage: bytes, places: list[int]
):
    raw = filled(case, "/record", "first") + post("second")
    raw = raw[:place] + damage + raw[place + 1 :] + b"\r\n\r\n"
    assert framed(*cut(raw, places)) == framed(raw)


@given(st.lists(requests(), min_size=1, max_size=3), st.integers(0, 400), st.binary(max_size=3))
def test_another_parser_sees_one_request_in_what_is_handed_over(
    sent: list[tuple[bytes, bytes, bytes]], place: int, damage: bytes
):
    raw = b"".join(one for one, _, _ in sent)
    raw = raw[:place] + damage + raw[place + len(damage) :]
    framer = Framer(Heads(), BODY_MAX_BYTES)
    framer.feed(raw)
    while isinstance(whole := framer.next(), CompleteRequest) and check_line(whole.line) is None:
        assert bodies_of(whole.raw) == [whole.body]


class Bodies:
    """The bodies that llhttp alone finds."""

    def __init__(self) -> None:
        self.found: list[bytes] = []
        self._body = b""

    def on_message_begin(self) -> None:
        self._body = b""

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        self.found.append(self._body)


def bodies_of(raw: bytes) -> list[bytes]:
    bodies = Bodies()
    httptools.HttpRequestParser(bodies).feed_data(raw)
    return bodies.found


def test_rejects_a_body_over_the_limit_before_and_after_it_arrives():
    large = b"a" * (BODY_MAX_BYTES + 1)
    raw = request("POST /record", large)
    assert framed(raw[: -len(large)]) == framed(raw) == [413]


def test_rejects_a_chunked_body_once_it_is_over_the_limit():
    head = request("POST /record", None, "Transfer-Encoding: chunked")
    chunk = b"10\r\n" + b"a" * 16 + b"\r\n"
    fitting = head + chunk * (BODY_MAX_BYTES // 16) + b"0\r\n\r\n"
    assert framed(fitting) == [(b"POST /record HTTP/1.1", b"a" * BODY_MAX_BYTES)]
    beyond = head + chunk * (BODY_MAX_BYTES // 16 + 1)
    assert framed(beyond + b"0\r\n\r\n") == framed(beyond) == [413]
    padded = head + (b"1;" + b"x" * 50 + b"\r\na\r\n") * 100
    assert framed(padded + b"0\r\n\r\n") == framed(padded) == [413]


def test_accepts_a_head_at_the_limit_and_rejects_one_over_it():
    def of_length(length: int) -> bytes:
        short = request("GET /healthz", None, "X: ")
        return request("GET /healthz", None, "X: " + "a" * (length - len(short) + 4))

    for length, status in ((16_384, None), (16_385, 431)):
        raw = of_length(length)
        assert raw.index(b"\r\n\r\n") == length
        expected: Framed = [(b"GET /healthz HTTP/1.1", b"")] if status is None else [status]
        assert framed(raw) == framed(*(raw[at : at + 7] for at in range(0, len(raw), 7)))
        assert framed(raw) == expected


def test_the_cache_of_header_blocks_is_bounded():
    heads = Heads()
    for number in range(20_000):
        assert heads.get(b"Host: a\r\nX: %d\r\n\r\n" % number).rejection is None
    assert len(heads._cached) <= 4096
    assert heads.get(b"Host: a\r\nX: " + b"a" * 10_000 + b"\r\n\r\n").rejection is None
    assert max(map(len, heads._cached)) <= 2048
