"""The header block of a request, judged once and remembered.

A sensor sends the same header block with every reading, so a block is parsed by llhttp and
judged the first time it is seen, and found in a dict afterwards. Nothing is guessed from bytes
that llhttp has not accepted. What two parsers might read differently is refused, since that is
how requests are smuggled: see docs/decisions/0004-the-lane.md.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import httptools

from tributary.auth.guard import RequestHeaders

BLOCK_MAX_BYTES = 16_384
FIELDS_MAX = 64
_HOP = (
    b"expect:",
    b"upgrade:",
    b"transfer-encoding:",
)  # for us alone: the general server must not see them
_ONCE = frozenset(
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

# What asks for more than the hot routes do: conditions, and answers for another origin's page.
_GENERAL = (b"transfer-encoding", b"if-none-match", b"if-match", b"origin")
_BLOCKS_KEPT_MAX = 4096
_BLOCK_KEPT_MAX_BYTES = 2048
_SIMPLE_MAX_BYTES = 1024  # of block and body each


class Rejection(NamedTuple):
    """Why a request is refused before it is looked at; the connection ends with it."""

    status: int
    code: str
    message: str


NO_HOST = Rejection(400, "no_host", "there is no Host header; HTTP/1.1 demands one")
CHUNKED_1_0 = Rejection(400, "malformed_http", "HTTP/1.0 has no chunks; send a Content-Length")


class Head(RequestHeaders):
    """What a header block says."""

    __slots__ = (
        "expects_continue",
        "has_host",
        "is_chunked",
        "is_general",
        "is_simple",
        "keep_alive",
        "length",
        "plain_block",
        "rejection",
    )

    def __init__(self) -> None:
        super().__init__()
        self.length = 0
        self.is_chunked = False
        self.is_general = False  # no lane answers it, whatever it asks for
        self.is_simple = False  # small, and nothing in it asks for more than the next one will
        self.keep_alive = True
        self.has_host = False
        self.plain_block = b""
        self.expects_continue = False
        self.rejection: Rejection | None = None

    def field(self, name: str) -> str | None:
        """Any header field that a client sends at most once."""
        for line in self.plain_block.split(b"\r\n"):
            found, _, value = line.partition(b":")
            if found.decode("latin-1").lower() == name.lower():
                return value.strip(b" \t").decode("latin-1")
        return None


class Heads:
    """Header block → head; bounded, since blocks come from outside."""

    def __init__(self) -> None:
        self._cached: dict[bytes, Head] = {}

    def cached(self, block: bytes) -> Head | None:
        """The head of a block that has been accepted before."""
        return self._cached.get(block)

    def get(self, block: bytes) -> Head:
        """The head of a block of header fields, the empty line included."""
        head = self._cached.get(block)
        if head is None:
            head = parse(block)
            # A block with a key of its own never comes again, and large ones are not usual.
            is_kept = head.rejection is None and head.idempotency_key is None
            if is_kept and len(block) <= _BLOCK_KEPT_MAX_BYTES:
                if len(self._cached) >= _BLOCKS_KEPT_MAX:
                    self._cached.clear()
                self._cached[block] = head
        return head


def parse(block: bytes) -> Head:
    """Judge a header block."""
    head = Head()
    fields = _Fields(head)
    try:
        fields.parser.feed_data(b"POST / HTTP/1.1\r\n" + block)
    except httptools.HttpParserUpgrade:
        fields.wants_upgrade = True  # a wish that a server may pass over, and we do
    except httptools.HttpParserError as error:
        head.rejection = Rejection(400, "malformed_http", f"the request is not HTTP: {error}")
        return head
    head.rejection = _rejection(fields.found)
    if head.rejection is None:
        _fill(head, fields.found)
        head.plain_block = block
        if fields.wants_upgrade or head.expects_continue or head.is_chunked:
            lines = block.split(b"\r\n")
            kept = [line for line in lines if not line.lower().startswith(_HOP)]
            head.plain_block = b"\r\n".join(kept)
        head.is_simple = _is_simple(head)
    return head


def _is_simple(head: Head) -> bool:
    is_plain = head.has_host and head.keep_alive and not (head.is_general or head.expects_continue)
    is_small = max(head.length, len(head.plain_block)) <= _SIMPLE_MAX_BYTES
    return is_plain and is_small and head.idempotency_key is None


class _Fields:
    """Collects what llhttp finds."""

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
    for name in _ONCE:
        if names.count(name) > 1:
            return Rejection(
                400, "repeated_header", f"header {name.decode()} stands twice; send it once"
            )
    for name in names:
        if b"_" in name:
            text = name.decode("latin-1")
            return Rejection(
                400, "ambiguous_header", f"header {text!r:.80} holds a _; write it with -"
            )
    return _reject_values(dict(found))


def _reject_values(fields: dict[bytes, bytes]) -> Rejection | None:
    if fields.get(b"expect", b"100-continue").lower() != b"100-continue":
        return Rejection(417, "unknown_expectation", "only Expect: 100-continue is known")
    if fields.get(b"transfer-encoding", b"chunked").strip().lower() != b"chunked":
        return Rejection(501, "not_implemented", "only Transfer-Encoding: chunked is known")
    host = fields.get(b"host", b"")
    if _HOST.fullmatch(host) is None:
        text = host.decode("latin-1")
        return Rejection(400, "malformed_http", f"Host is {text!r:.80}; send a name and a port")
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
