"""Sequences of raw requests; equal seeds generate equal bytes."""

from __future__ import annotations

import base64
import random
from collections.abc import Mapping

from differential import bodies
from differential.doors import DOORS as OTHER_DOORS
from differential.wire import Request

BODY_MAX_BYTES = 4096
BATCH_MAX_READINGS = 100
KNOWN = ("known/a", "known.b:c-d", "known//e")  # devices with readings before the run

_CONTENT_TYPES = [
    b"application/json", b"application/json; charset=utf-8", b'Application/JSON ;Charset="UTF-8"',
    b"text/plain;charset=UTF-8", b"text/json", b"application/x-www-form-urlencoded", b"",
    b"application/json; charset=us-ascii; q=1", b"application/json;", b"application/json; charset=",
    b"application/json; charset=latin-1", b"application/json; charset=utf-16", b"application/xml",
    b"multipart/form-data; boundary=x", b"application/octet-stream", b"json", b";", b"/",
    b"application/js\xf6n", b"text/html, application/json", b"application/json; version=1",
]  # fmt: skip
_LINES_TYPES = [
    b"application/x-ndjson", b"application/ndjson", b"application/jsonl; charset=utf-8",
    b"APPLICATION/X-NDJSON",
]  # fmt: skip
_ENCODINGS = [b"br", b"deflate", b"gzip, gzip", b"", b"zstd", b"gzip;q=1", b"g\xfczip", b"*"]
_RECORD_QUERIES = [
    b"?on_error=skip", b"?on_error=skip", b"?on_error=skip", b"?on_error=refuse", b"?on_error=SKIP",
    b"?on_error=", b"?on_error", b"?on_error=skip&on_error=refuse", b"?on%5Ferror=skip", b"?",
    b"?on_error=sk%69p", b"?on_error=bogus", b"?on_error=%ff", b"?x=1", b"?x=1&on_error=skip",
    b"?&&", b"?on_error=skip;x=1", b"?on_error=skip#f", b"?ON_ERROR=skip", b"?on_error=skip+",
    b"?device=car-9", b"?%", b"?=", b"?on_error=" + b"s" * 300, b"?a=b=c", b"?on_error==skip",
]  # fmt: skip
_COLLECT_QUERIES = [
    *(b"?device=" + name.encode() for name in KNOWN * 3), b"", b"", b"?device=", b"?device", b"?",
    b"?device=unknown", b"?device=a%20b", b"?device=known%2Fa", b"?device=%6Bnown/a", b"?device=+",
    b"?device=known/a&device=unknown", b"?device=unknown&device=known/a", b"?device=&device=known/a",
    b"?device=known/a&x=1", b"?x=1&device=known/a", b"?x=1", b"?device=%00", b"?device=%ff",
    b"?device=%C3%A9", b"?device={x}", b"?device=known/a;x=1", b"?device=known/a&", b"?&device=known/a",
    b"?DEVICE=known/a", b"?device=" + b"x" * 128, b"?device=" + b"x" * 129, b"?device=car-1",
    b"?device=" + b"x" * 3000, b"?device=default", b"?device=%", b"?device=%zz", b"?device==known/a",
    b"?device=known%2fa%", b"?metrics=a", b"?device=known/a&metrics=a", b"?device=known/a&metrics=zz", b"?metrics=a&metrics=b",
    b"?device=known/a&unit=degF", b"?device=known/a&unit=x", b"?metrics=%00", b"?device=known/a#f", b"?device=%25", b"?device=\\",
    b"?device=known%252Fa", b"?devi%63e=known/a", b"?device=known/a?device=x", b"?device='\"<>",
]  # fmt: skip
_API_PATHS = [
    *(b"/api/v1/devices/known/a/metrics/a" + rest for rest in (
        b"", b"?window=15m", b"?window=30m", b"?window=x", b"?window=", b"/", b"/history", b"x",
        b"/history?window=1h", b"/history?window=0m", b"/history/", b"?unit=degF", b"?unit=%ff",
    )),
    b"/api/v1/devices/known/a?metrics=a", b"/api/v1/devices/known/a?metrics=a,zz&unit=K",
    b"/api/v1/devices/known/a?metrics=", b"/api/v1/devices/known/a?metrics=,,", b"/openapi.json",
    b"/api/v1/devices/unknown/metrics/a", b"/api/v1/devices/known.b:c-d/metrics/zz", b"/docs",
    b"/openapi.json?x", b"/docs/", b"/docs/nothing", b"/docs/../app.py", b"/docs/%2e%2e/app.py",
    b"/api/v1/devices", b"/api/v1/devices?limit=1", b"/api/v1/devices?limit=2&after=known.b:c-d",
    b"/api/v1/devices?prefix=known/", b"/api/v1/devices?prefix=zz", b"/api/v1/devices?limit=0",
    b"/api/v1/devices?limit=1001", b"/api/v1/devices?limit=x", b"/api/v1/devices?limit=%C2%B2",
    b"/api/v1/devices?limit=", b"/api/v1/devices?after=%ff", b"/api/v1/devices?prefix=%00",
    b"/api/v1/devices/", b"/api/v1/devices//", b"/api/v1/devices/known/a",
    b"/api/v1/devices/known%2Fa", b"/api/v1/devices/known.b:c-d", b"/api/v1/devices/known//e",
    b"/api/v1/devices/unknown", b"/api/v1/devices/a%20b", b"/api/v1/devices/%ff",
    b"/api/v1/devices/%E2%82%AC", b"/api/v1/devices/known/a/", b"/api/v1/devices/known/a?x=1",
    b"/api/v1/devices/../devices", b"/api/v1/devices/%2e%2e/x", b"/api/v1/devices/known%2fa%00",
    b"/api/v1/devices/" + b"x" * 129, b"/api//v1/devices", b"/api/v1", b"/API/V1/DEVICES",
    b"/api/v1/devices/{x}", b"/api/v1/devices/;a", b"/api/v1/devices/a;b?c",
]  # fmt: skip
_PATHS = [
    b"/healthz", b"/healthz", b"/readyz", b"/healthz/", b"/healthz?x", b"/readyz/", b"/", b"//",
    b"/nowhere", b"/record/", b"//record", b"/record//", b"/collect/", b"//collect", b"/Record",
    b"/%72ecord", b"/coll%65ct", b"/record%2F", b"/record%00", b"/record%", b"/%ff", b"/.", b"/..",
    b"/../record", b"/./record", b"/record/../collect", b"/recor", b"/recordd", b"/record;x=1",
    b"/favicon.ico", b"/static/x", b"/%C3%A9", b"/%2F", b"/%2frecord", b"/a" * 900, b"/~", b"/*",
    b"http://127.0.0.1/collect", b"http://other.example/healthz", b"http://127.0.0.1/record?x=1",
    b"/record#fragment", b"/collect#", b"/record?a#b", b"/:80/record", b"/a:b@c", b"/record\\",
    b'/"<>', b"/{}", b"/|", b"/^`", b'/collect?device=known/a"',
]  # fmt: skip
_METHODS = [
    b"GET", b"POST", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"PATCH", b"TRACE", b"PROPFIND",
]  # fmt: skip
_EXTRA = [
    (b"Accept", b"*/*"), (b"Accept-Encoding", b"gzip, br"), (b"User-Agent", b"curl/8.5.0"),
    (b"X-Note", b"gr\xfc\xdfe \xe2\x82\xac"), (b"Cookie", b"a=1; b=2"), (b"Origin", b"http://a"),
    (b"If-None-Match", b'"x"'), (b"If-None-Match", b"*"), (b"If-Modified-Since", b"yesterday"),
    (b"Range", b"bytes=0-1"), (b"Upgrade", b"websocket"), (b"Upgrade", b"h2c"), (b"TE", b"trailers"),
    (b"X-Forwarded-For", b"10.0.0.1"), (b"X-Forwarded-Proto", b"https"), (b"Forwarded", b"for=a"),
    (b"X-HTTP-Method-Override", b"DELETE"), (b"X-Empty", b""), (b"Referer", b"http://a/\xe9"),
    (b"Content-Language", b"en"), (b"Connection", b"keep-alive"), (b"Connection", b"Keep-Alive"),
    (b"X-Long", b"x" * 4000), (b"Accept", b"text/html"), (b"Via", b"1.1 proxy"), (b"DNT", b"1"),
    (b"X-Script-Name", b"/x"), (b"Script-Name", b"/record"), (b"X-Forwarded-Host", b"evil"),
    (b"Content-MD5", b"x"), (b"Connection", b"x-empty"), (b"Keep-Alive", b"timeout=1"),
]  # fmt: skip


class Generator:
    """The requests of one client, determined by its seed and the tokens."""

    def __init__(self, seed: str, tokens: Mapping[str, str]) -> None:
        self._rng = random.Random(seed)
        self._name = seed.encode()
        self._tokens = tokens

    def batches(self, requests: int) -> list[list[Request]]:
        """Generate requests, in batches to send in one write."""
        made: list[list[Request]] = []
        while requests:
            batch: list[Request] = []
            most = min(requests, self._rng.choice([1, 1, 2, 4, 8, 16]))
            while len(batch) < most and not (batch and batch[-1].ends):
                request = self._request()
                if request.waits_at:  # alone in its batch: its body waits for a response
                    if batch:
                        break
                    most = 1
                batch.append(request)
            made.append(batch)
            requests -= len(batch)
        return made

    def _request(self) -> Request:
        kind = self._rng.random()
        if kind < 0.3:
            return self.record()
        if kind < 0.55:
            return DOORS[self._rng.choice([*DOORS])](self)
        if kind < 0.72:
            method = self._rng.choice([b"GET", b"GET", b"POST", self._rng.choice(_METHODS)])
            return self._other(method, b"/collect" + self._rng.choice(_COLLECT_QUERIES))
        if kind < 0.82:
            method = self._rng.choice([b"GET", b"GET", b"GET", self._rng.choice(_METHODS)])
            return self._other(method, self._rng.choice(_API_PATHS))
        if kind < 0.995:
            return self._other(self._rng.choice(_METHODS), self._rng.choice(_PATHS))
        return self._other(b"OPTIONS", b"*")

    @property
    def rng(self) -> random.Random:
        """The source of all choices."""
        return self._rng

    @property
    def name(self) -> str:
        """Part of the ids and keys that no other client may use."""
        return self._name.decode()

    def record(self) -> Request:
        rng = self._rng
        fields: list[tuple[bytes, bytes]] = []
        if rng.random() < 0.2:
            content = bodies.lines(rng)
            fields.append((b"Content-Type", rng.choice(_LINES_TYPES)))
        else:
            content = bodies.body(rng, BODY_MAX_BYTES, BATCH_MAX_READINGS)
            if rng.random() < 0.4:
                fields.append((b"Content-Type", rng.choice(_CONTENT_TYPES)))
        if rng.random() < 0.2:
            coding = rng.choice([b"gzip", b"gzip", b"GZip", b"x-gzip", b"identity"])
            fields.append((b"Content-Encoding", coding))
            if b"i" in coding.lower()[:2]:
                content = content if rng.random() < 0.9 else bodies.compressed(rng, content, 4096)
            else:
                content = bodies.compressed(rng, content, BODY_MAX_BYTES)
        elif rng.random() < 0.04:
            fields.append((b"Content-Encoding", rng.choice(_ENCODINGS)))
        if rng.random() < 0.2:
            fields.append((b"Idempotency-Key", self.key()))
        query = rng.choice(_RECORD_QUERIES) if rng.random() < 0.3 else b""
        return self.framed(b"POST", b"/record" + query, fields, content)

    def _other(self, method: bytes, target: bytes) -> Request:
        content = b'{"a":1}' if self._rng.random() < 0.15 else None
        if method == b"POST" and self._rng.random() < 0.6:
            content = b""
        return self.framed(method, target, [], content)

    def key(self) -> bytes:
        """A key of this connection only: a key is for one body, and connections race."""
        rng, name = self._rng, self._name
        if rng.random() < 0.2:
            return rng.choice([
                b"", b"x" * 256, name + b"x" * (255 - len(name)), name + b"x" * 129,
                *(odd + name for odd in (
                    b"a b", b"a,b", b"\xe9\xff", b'"quoted"', b"{0}", b"a*", b"../../x", b"%00",
                    b"sha256-x", b"a\tb",
                )),
            ])  # fmt: skip
        return b"%b-%d" % (name, rng.randrange(40))

    def _authorization(self) -> bytes | None:
        rng, tokens = self._rng, self._tokens
        kind = rng.random()
        if kind < 0.78:
            return b"Bearer " + tokens["all"].encode()
        if kind < 0.82:
            return None
        secret = tokens[rng.choice(sorted(tokens))].encode()
        basic = base64.b64encode(b"sensor:" + secret)
        return rng.choice([
            b"Bearer " + secret, b"bearer  " + secret, b"Token " + secret, b"TOKEN " + secret,
            b"Basic " + basic, b"basic " + basic, b"Basic " + basic[:-3], b"Basic !!!", b"Basic ",
            b"Basic", b"Basic " + base64.b64encode(secret), b"Bearer", b"Bearer ", b"", secret,
            b"Digest " + secret, b"Bearer " + secret + b"x", b"Bearer " + secret[:-1],
            b"Bearer " + secret + b" x", b"Bearer \xff\xfe", b"Bearer gr\xfc\xdfe", b"Bearer\t" + secret,
            b"Basic " + base64.b64encode(b"\xff:\xff"), b"Basic " + base64.b64encode(b"a:b:c"),
        ])  # fmt: skip

    def framed(
        self, method: bytes, target: bytes, fields: list[tuple[bytes, bytes]], content: bytes | None
    ) -> Request:
        rng = self._rng
        version, ends = b"HTTP/1.1", False
        if rng.random() < 0.02:
            version, ends = b"HTTP/1.0", True
        fields = [
            (b"Host", rng.choice([b"a", b"127.0.0.1:8000", b"[::1]", b"", b"a.example"])),
            *fields,
        ]
        authorization = self._authorization()
        if authorization is not None:
            fields.append((b"Authorization", authorization))
        fields += rng.sample(_EXTRA, rng.choice([0, 0, 0, 1, 2, 4]))
        if rng.random() < 0.03:
            fields = [pair for pair in fields if pair[0] != b"Connection"]
            fields.append((b"Connection", rng.choice([b"close", b"Close"])))
            ends = True
        elif ends:
            fields = [pair for pair in fields if pair[0] != b"Connection"]
        sent, waits, is_chunked = b"", False, False
        if content is not None:
            is_chunked = version == b"HTTP/1.1" and rng.random() < 0.08
            waits = version == b"HTTP/1.1" and bool(content) and rng.random() < 0.03
            if is_chunked:
                fields.append((b"Transfer-Encoding", rng.choice([b"chunked", b"Chunked"])))
                sent = chunked(rng, content)
            else:
                sent = content
                if content or rng.random() < 0.5:
                    fields.append((b"Content-Length", b"%d" % len(content)))
            if waits:
                fields.append((b"Expect", rng.choice([b"100-continue", b"100-Continue"])))
        rest = fields[1:]
        rng.shuffle(rest)
        lines = b"".join(_line(rng, name, value) for name, value in (fields[0], *rest))
        head = b"%b %b %b\r\n%b\r\n" % (method, target, version, lines)
        label = (method + b" " + target[:60]).decode("latin-1")
        return Request(label, head + sent, ends, method == b"HEAD", len(head) if waits else 0)


# A generator of requests for each door, by its name.
DOORS = {"record": Generator.record, **OTHER_DOORS}


def chunked(rng: random.Random, content: bytes) -> bytes:
    """Encode a body in chunks, with extensions and trailers."""
    made, at = b"", 0
    while at < len(content):
        size = min(rng.choice([1, 2, 7, 100, 4096]), len(content) - at)
        extension = rng.choice([b"", b"", b"", b";a=b", b";a"])
        made += b"%x%b\r\n%b\r\n" % (size, extension, content[at : at + size])
        at += size
    return made + rng.choice([b"0\r\n\r\n", b"000\r\n\r\n", b"0\r\nX-Trailer: 1\r\n\r\n"])


def _line(rng: random.Random, name: bytes, value: bytes) -> bytes:
    kind = rng.random()
    if kind < 0.1:
        name = name.upper() if kind < 0.05 else name.lower()
    if name.lower() == b"transfer-encoding":  # llhttp accepts no tab in it
        return b"%b: %b\r\n" % (name, value)
    before, after = rng.choice([(b" ", b"")] * 8 + [(b"", b""), (b"  ", b" "), (b"\t", b"\t ")])
    return name + b":" + before + value + after + b"\r\n"
