"""The header block of a request, validated once and then cached.

A sensor sends the same header block with every reading, so llhttp parses a block the first time
it is seen, and a dict returns its head afterwards. Only blocks that llhttp has accepted are used.
Whatever two parsers might interpret differently is rejected, because that enables request
smuggling: see docs/decisions/0004-the-lane.md.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import httptools

from tributary.auth.guard import RequestHeaders

BLOCK_MAX_BYTES = 16_384
FIELDS_MAX = 64
# Fields of this hop, removed before a request is handed over.
_HOP_FIELDS = (b"expect:", b"upgrade:", b"transfer-encoding:")
_UNIQUE = frozenset(
    (
        b"host",
        b"content-type",
        b"content-encoding",
        b"authorization",
        b"expect",
        b"idempotency-key",
        b"transfer-encoding",
    )
)
_HOST = re.compile(rb"[A-Za-z0-9._~%!$&'()*+,;=:\[\]-]*")

# Fields that the hot routes do not support: conditional requests, CORS, chunks.
_GENERAL = (b"transfer-encoding", b"if-none-match", b"if-match", b"origin")
_CACHED_BLOCKS_MAX = 4096
_CACHED_BLOCK_MAX_BYTES = 2048
_SIMPLE_MAX_BYTES = 1024  # of block and body each


class Rejection(NamedTuple):
    """A response to a request that cannot be processed; the connection ends with it."""

    status: int
    code: str
    message: str


def malformed(error: object) -> Rejection:
    """400 for what is not HTTP."""
    return Rejection(400, "malformed_http", f"the request is not HTTP: {error}")


NO_HOST = Rejection(400, "no_host", "missing Host header; HTTP/1.1 requires one")
CHUNKED_1_0 = Rejection(
    400, "malformed_http", "HTTP/1.0 does not support chunks; send a Content-Length"
)


class Head(RequestHeaders):
    """A parsed header block."""

    __slots__ = (
        "expects_continue", "has_host", "is_chunked", "is_general", "is_simple",
        "keep_alive", "length", "plain_block", "rejection",
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.length = 0
        self.is_chunked = False
        self.is_general = False  # to be handed over, whatever its route
        self.is_simple = False  # small, and nothing in it is specific to one request
        self.keep_alive = True
        self.has_host = False
        self.plain_block = b""
        self.expects_continue = False
        self.rejection: Rejection | None = None

    def field(self, name: str) -> str | None:
        """Another header field that a client sends at most once."""
        for line in self.plain_block.split(b"\r\n"):
            found, _, value = line.partition(b":")
            if found.decode("latin-1").lower() == name.lower():
                return value.strip(b" \t").decode("latin-1")
        return None


class Heads:
    """A bounded cache: header block → head."""

    def __init__(self) -> None:
        self._cached: dict[bytes, Head] = {}

    def cached(self, block: bytes) -> Head | None:
        """The head of a block that was accepted before."""
        return self._cached.get(block)

    def get(self, block: bytes) -> Head:
        """The head of a block of header fields, including the empty line."""
        head = self._cached.get(block)
        if head is None:
            head = parse(block)
            # A block with an idempotency key is not sent again, and large blocks are rare.
            is_cacheable = head.rejection is None and head.idempotency_key is None
            if is_cacheable and len(block) <= _CACHED_BLOCK_MAX_BYTES:
                if len(self._cached) >= _CACHED_BLOCKS_MAX:
                    self._cached.clear()
                self._cached[block] = head
        return head


def parse(block: bytes) -> Head:
    """Parse and validate a header block."""
    head = Head()
    fields = _Fields(head)
    try:
        fields.parser.feed_data(b"POST / HTTP/1.1\r\n" + block)
    except httptools.HttpParserUpgrade:
        fields.wants_upgrade = True  # a server may ignore it
    except httptools.HttpParserError as error:
        head.rejection = malformed(error)
        return head
    head.rejection = _rejection(fields.found)
    if head.rejection is None:
        _fill(head, fields.found)
        head.plain_block = block
        if fields.wants_upgrade or head.expects_continue or head.is_chunked:
            lines = block.split(b"\r\n")
            kept = [line for line in lines if not line.lower().startswith(_HOP_FIELDS)]
            head.plain_block = b"\r\n".join(kept)
        head.is_simple = _is_simple(head)
    return head


def _is_simple(head: Head) -> bool:
    is_plain = head.has_host and head.keep_alive and not (head.is_general or head.expects_continue)
    is_small = max(head.length, len(head.plain_block)) <= _SIMPLE_MAX_BYTES
    return is_plain and is_small and head.idempotency_key is None


class _Fields:
    """Collects the fields that llhttp reports."""

    def __init__(self, head: Head) -> None:
        self.found: list[tuple[bytes, bytes]] = []
        self.wants_upgrade = False
        self.parser = httptools.HttpRequestParser(self)
        self._head = head

    def on_header(self, name: bytes, value: bytes) -> None:
        self.found.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self._head.keep_alive = self.parser.should_keep_alive()


def _rejection(found: list[tuple[bytes, bytes]]) -> Rejection | None:
    names = [name for name, _ in found]
    if len(names) > FIELDS_MAX:
        return Rejection(
            431, "too_many_headers", f"{len(names)} header fields; send at most {FIELDS_MAX}"
        )
    for name in _UNIQUE:
        if names.count(name) > 1:
            return Rejection(
                400, "repeated_header", f"duplicate header {name.decode()}; send it once"
            )
    for name in names:
        if b"_" in name:
            text = name.decode("latin-1")
            return Rejection(400, "ambiguous_header", f"header {text!r:.80} contains _; use -")
    return _reject_values(dict(found))


def _reject_values(fields: dict[bytes, bytes]) -> Rejection | None:
    if fields.get(b"expect", b"100-continue").lower() != b"100-continue":
        return Rejection(417, "unknown_expectation", "unsupported Expect; use 100-continue")
    if fields.get(b"transfer-encoding", b"chunked").strip().lower() != b"chunked":
        return Rejection(501, "not_implemented", "unsupported Transfer-Encoding; use chunked")
    host = fields.get(b"host", b"")
    if _HOST.fullmatch(host) is None:
        text = host.decode("latin-1")
        return Rejection(
            400, "malformed_http", f"invalid Host {text!r:.80}; send a name and a port"
        )
    return None


def _fill(head: Head, found: list[tuple[bytes, bytes]]) -> None:
    fields = {name: value.decode("latin-1") for name, value in found}
    head.has_host = b"host" in fields
    head.host = fields.get(b"host")
    head.origin = fields.get(b"origin")
    head.fetch_site = fields.get(b"sec-fetch-site")
    head.length = int(fields.get(b"content-length", "0"))
    head.is_chunked = b"transfer-encoding" in fields
    head.is_general = any(name in fields for name in _GENERAL)
    head.expects_continue = b"expect" in fields
    head.content_type = fields.get(b"content-type", "")
    head.content_encoding = fields.get(b"content-encoding", "identity").lower()
    head.authorization = fields.get(b"authorization", "")
    head.idempotency_key = fields.get(b"idempotency-key")
