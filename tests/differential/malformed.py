"""Requests below the level of a request: what a server must not try to understand."""

from __future__ import annotations

import random

from differential.wire import Request

_LINES = [
    b"POST /record", b"POST  /record HTTP/1.1", b"POST /record HTTP/1.1 ", b"POST /record HTTP/2.0",
    b"POST /record HTTP/1.2.3", b"POST /record http/1.1", b"POST /rec ord HTTP/1.1",
    b"POST /rec\xc3\xa9ord HTTP/1.1", b"POST /record\x00 HTTP/1.1", b"P\xd6ST /record HTTP/1.1",
    b"post /record HTTP/1.1", b"POST record HTTP/1.1", b"POST  HTTP/1.1", b" POST /record HTTP/1.1",
    b"POST\t/record HTTP/1.1", b"POST /record HTTP/1.1\r", b"GARBAGE", b"", b"GET * HTTP/1.1",
    b"POST /record HTTP/3.0", b"POST /record HTTP/0.9", b"PO(ST /record HTTP/1.1",
    b"POST /record\x7f HTTP/1.1", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"POST /record JUNK",
    b"CONNECT a:80 HTTP/1.1", b"POST /\xff HTTP/1.1", b"FOO /record HTTP/1.1",
]  # fmt: skip
_FIELDS = [
    b"Content-Length: -1", b"Content-Length: +7", b"Content-Length: 7, 7", b"Content-Length: 7 7",
    b"Content-Length: 0x7", b"Content-Length: x", b"Content-Length: 99999999999999999999999",
    b"Content-Length: 7\r\nContent-Length: 7", b"Content-Length: 7\r\nContent-Length: 8",
    b"Content-Length: 7\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: gzip",
    b"Transfer-Encoding: chunked\r\nContent-Length: 7", b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: chunked, gzip", b"Transfer-Encoding: identity", b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding : chunked", b"Transfer-Encoding: \x0bchunked", b"Content-Length : 7",
    b"Content-Length: 7\r\nX: a\r\n b", b"Content-Length: 7\r\n folded: x", b"Content-Length: 7\r\nX\r\n",
    b"Content-Length: 7\r\n: x", b"Content-Length: 7\r\nX Y: z", b"Content-Length: 7\r\nX: a\x00b",
    b"Content-Length: 7\r\nX: a\rb", b"Content-Length: 7\r\nX: a\nY: b", b"Content-Length: 7\r\nX(: a",
    b"Content-Length: 7\r\nHost: b", b"Content-Length: 7\r\nX_Y: z", b"Content_Length: 7",
    b"Content-Length: 7\r\nAuthorization: Bearer x", b"Content-Length: 7\r\nX\xe9: z",
    b"Content-Length: 7\r\nContent-Type: text/plain\r\nContent-Type: text/json",
    b"Content-Length: 7\r\nContent-Encoding: gzip\r\nContent-Encoding: gzip",
    b"Content-Length: 7\r\nIdempotency-Key: a\r\nIdempotency-Key: b",
    b"Content-Length: 7\r\nExpect: 200-ok", b"Content-Length: 7\r\nExpect: 100-continue, x",
    b"Content-Length: 7\r\nX: " + b"x" * 17_000, b"Content-Length: 7" + b"\r\nX: y" * 65,
    b"Content-Length: 2000000", b"Content-Length: 4097",
]  # fmt: skip
_CHUNKS = [
    b'8\r\n{"a":1}\r\n0\r\n\r\n', b"x\r\n\r\n", b"-1\r\n\r\n",
    b'7\n{"a":1}\r\n0\r\n\r\n', b'7\r\n{"a":1}XX0\r\n\r\n', b'+7\r\n{"a":1}\r\n0\r\n\r\n',
    b'0x7\r\n{"a":1}\r\n0\r\n\r\n',
    b'7 \r\n{"a":1}\r\n0\r\n\r\n', b'7\r\n{"a":1}0\r\n\r\n', b'\r\n7\r\n{"a":1}\r\n0\r\n\r\n',
    b'6\r\n{"a":1}\r\n0\r\n\r\n', b'7;\x00\r\n{"a":1}\r\n0\r\n\r\n',
]  # fmt: skip


def request(rng: random.Random, secret: str) -> Request:
    """One of them; its connection ends with its answer."""
    token = b"Authorization: Bearer " + secret.encode()
    kind = rng.random()
    if kind < 0.35:
        line = rng.choice(_LINES)
        raw = b"%b\r\nHost: a\r\n%b\r\nContent-Length: 7\r\n\r\n" % (line, token) + b'{"a":1}'
        return Request(f"line {line!r}", raw, ends=True, is_malformed=True)
    if kind < 0.85:
        fields = rng.choice(_FIELDS)
        raw = b"POST /record HTTP/1.1\r\nHost: a\r\n%b\r\n%b\r\n\r\n" % (token, fields) + b'{"a":1}'
        return Request(f"fields {fields[:80]!r}", raw, ends=True, is_malformed=True)
    if kind < 0.9:
        raw = b"POST /record HTTP/1.1\r\n%b\r\nContent-Length: 7\r\n\r\n" % token + b'{"a":1}'
        return Request("no host", raw, ends=True, is_malformed=True)
    body = rng.choice(_CHUNKS)
    head = b"POST /record HTTP/1.1\r\nHost: a\r\n%b\r\nTransfer-Encoding: chunked\r\n\r\n" % token
    return Request(f"chunks {body!r}", head + body, ends=True, is_malformed=True)
