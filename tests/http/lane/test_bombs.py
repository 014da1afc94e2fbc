"""Small requests that expand: memory stays bounded."""

from __future__ import annotations

import functools
import gzip
import zlib
from collections.abc import Iterator

import pytest
from support.memory import forget_peak, peak_bytes, resident_bytes, worker_of
from support.processes import Deployment
from support.raw import connected, request

_MIB = 1_048_576
_BODY_MAX_BYTES = _MIB
_CLOSE = "Connection: close"
_GZIP = ("Content-Encoding: gzip", _CLOSE)


@pytest.fixture(scope="module")
def bombed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path_factory.mktemp("bombed"))
    yield deployment
    assert deployment.stop() == 0, deployment.process.text
    assert "Traceback" not in deployment.process.text


@functools.cache
def zeros(count_mib: int) -> bytes:
    """`count_mib` MiB of zeros, compressed block by block."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    block = bytes(_MIB)
    return b"".join(compressor.compress(block) for _ in range(count_mib)) + compressor.flush()


def status(deployment: Deployment, data: bytes) -> int:
    with connected(deployment.url) as raw:
        raw.send(data)
        (response,) = raw.responses()
        return response.status


def recording(body: bytes) -> bytes:
    return request("POST /record", body, *_GZIP)


COMPRESSED = gzip.compress(b'{"device":"bomb","n":1}')
# Functions, because every worker imports this file and only one runs its tests.
BOMBS = {
    "a gibibyte": (lambda: zeros(1024), 413),
    "one byte too many": (lambda: gzip.compress(bytes(_BODY_MAX_BYTES + 1)), 413),
    "a bomb in the second member": (lambda: gzip.compress(b"") + zeros(64), 413),
    "a bomb compressed twice": (lambda: gzip.compress(zeros(1024)), 400),
    "too many empty members": (lambda: gzip.compress(b"") * 50_000, 400),
    "truncated": (lambda: COMPRESSED[:-9], 400),
    "without its checksum": (lambda: COMPRESSED[:-8], 400),
    "with a wrong checksum": (lambda: COMPRESSED[:-8] + bytes(8), 400),
    "followed by other data": (lambda: COMPRESSED + b"x", 400),
    "not gzip at all": (lambda: b'{"n":1}', 400),
    "nothing": (lambda: b"", 400),
    "several members": (
        lambda: gzip.compress(b'{"device":"bomb",') + gzip.compress(b'"n":1}'),
        200,
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_compressed_body_uses_no_more_memory_than_a_plain_one(bombed: Deployment, name: str):
    body_of, expected = BOMBS[name]
    sent = recording(body_of())
    worker = worker_of(bombed.process.pid)
    forget_peak(worker)
    before = resident_bytes(worker)
    for _ in range(10):
        assert status(bombed, sent) == expected
    assert peak_bytes(worker) - before < 16 * _MIB


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 500_000,
        b"[" * 250_000 + b"]" * 250_000,
        b'{"a":' * 150_000,
        b'{"device":"a","n":' + b"[" * 100_000 + b"1" + b"]" * 100_000 + b"}",
        b'{"n":' + b"9" * 1_000_000 + b"}",
        b'{"n":1e' + b"9" * 1_000_000 + b"}",
        b'{"' + b"n" * 1_000_000 + b'":1}',
        b"[" + b"1," * 500_000 + b"1]",
    ],
    ids=["arrays", "closed arrays", "objects", "value", "digits", "exponent", "name", "numbers"],
)
@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
def test_rejects_deep_and_long_json(bombed: Deployment, body: bytes, kind: str):
    assert status(bombed, request("POST /record", body, _CLOSE, f"Content-Type: {kind}")) in (
        400,
        413,
        422,
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["X: a"] * 61, 200),
        (["X: a"] * 63, 431),
        (["X: a"] * 3000, 431),
        (["X: " + "a" * 15_000], 200),
        (["X: " + "a" * 16_384], 431),
        (["X: " + "a" * 10_000_000], 431),
        (["a" * 16_384 + ": X"], 431),
    ],
    ids=["64", "66", "3000", "15 KB", "16 KiB", "10 MB", "name"],
)
def test_limits_the_fields_and_bytes_of_a_head(
    bombed: Deployment, fields: list[str], expected: int
):
    assert status(bombed, request("GET /healthz", None, _CLOSE, *fields)) == expected


def test_distinct_heads_do_not_grow_the_process(bombed: Deployment):
    worker = worker_of(bombed.process.pid)
    send_distinct_heads(bombed.url, range(6000))  # more than are cached
    before = resident_bytes(worker)
    send_distinct_heads(bombed.url, range(6000, 30_000))
    assert resident_bytes(worker) - before < 16 * _MIB


def send_distinct_heads(url: str, numbers: range) -> None:
    with connected(url) as raw:
        for first in range(numbers.start, numbers.stop, 100):
            heads = [f"X: {number:01800d}" for number in range(first, first + 100)]
            raw.send(b"".join(request("GET /collect", None, head) for head in heads))
            responses = [raw.response() for _ in heads]
            assert {response and response.status for response in responses} == {200}
