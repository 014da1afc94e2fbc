"""Content decoding: gzip in every variant, bombs, and chunks that exceed the limit."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from support.webs import Web

from ingest import decompress
from tributary.errors import Refused

MAX_BYTES = 1000


def rejection(sent: bytes, encoding: str = "gzip") -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        decompress.decompress(sent, encoding, MAX_BYTES)
    return caught.value.status, caught.value.code


@pytest.mark.parametrize("encoding", ["", "identity"])
def test_leaves_a_plain_body_alone(encoding: str):
    assert decompress.decompress(b"x" * 2000, encoding, MAX_BYTES) == b"x" * 2000


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
@pytest.mark.parametrize("content", [b"", b"x", b"y" * MAX_BYTES])
def test_decompresses_gzip(encoding: str, content: bytes):
    assert decompress.decompress(gzip.compress(content), encoding, MAX_BYTES) == content


def test_decompresses_several_members():
    sent = b"".join(gzip.compress(part) for part in (b"one ", b"", b"two"))
    assert decompress.decompress(sent, "gzip", MAX_BYTES) == b"one two"


def test_one_byte_more_unpacked_than_allowed_is_rejected():
    assert rejection(gzip.compress(b"y" * (MAX_BYTES + 1))) == (413, "body_too_large")
    halves = gzip.compress(b"y" * 600) + gzip.compress(b"y" * 600)
    assert rejection(halves) == (413, "body_too_large")


@pytest.mark.parametrize(
    "broken",
    [
        b"not gzip",
        gzip.compress(b"x" * 100)[:-1],
        gzip.compress(b"x" * 100)[:12],
        gzip.compress(b"x" * 100) + b"rest",
        gzip.compress(b"x" * 100)[:-8] + b"\0" * 8,
    ],
    ids=["not gzip", "truncated", "no content", "trailing bytes", "wrong checksum"],
)
def test_broken_gzip_is_rejected(broken: bytes):
    assert rejection(broken) == (400, "bad_gzip")


def test_another_encoding_is_rejected():
    assert rejection(b"", "br") == (415, "unknown_content_encoding")
    assert rejection(b"", "gzip, gzip") == (415, "unknown_content_encoding")


def test_a_bomb_takes_no_more_memory_than_a_plain_body():
    bomb = gzip.compress(bytes(50_000_000))
    tracemalloc.start()
    try:
        assert rejection(bomb) == (413, "body_too_large")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 500_000


@pytest.fixture(scope="module", params=[True, False], ids=["lane", "flask"])
def limited(
    start_web: Callable[..., Web], request: pytest.FixtureRequest
) -> Iterator[tuple[Web, int]]:
    """A process with a small limit on bodies, and the limit."""
    return start_web(lane=request.param, body_max_bytes=1024), 1024


def chunks_of(content: bytes) -> Iterator[bytes]:
    yield content[:500]
    yield content[500:]


@pytest.mark.parametrize("beyond", [0, 1, 100, 5000])
@pytest.mark.parametrize("is_chunked", [True, False], ids=["chunks", "length"])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_accepts_a_body_at_the_limit_and_truncates_none_over_it(
    limited: tuple[Web, int], beyond: int, encoding: str, *, is_chunked: bool
):
    web, max_bytes = limited
    content = b'{"a":1}\n'.ljust(max_bytes + beyond)
    sent = gzip.compress(content) if encoding == "gzip" else content
    headers = {"Content_Type": "application/x-ndjson", "Content_Encoding": encoding}
    reply = web.ask("POST", "/record", chunks_of(sent) if is_chunked else sent, **headers)
    assert reply.status == (413 if beyond else 200), reply.content
