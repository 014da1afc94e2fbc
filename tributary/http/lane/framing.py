"""The bytes of a connection → complete requests. Pure: no socket, no clock.

Fast path: a request with a cached header block costs two searches for CRLF, one dict lookup and
two slices, whatever the size of its body.
"""

from __future__ import annotations

import re

import httptools
import msgspec

from tributary.http.lane.head import (
    BLOCK_MAX_BYTES,
    CHUNKED_1_0,
    NO_HOST,
    Head,
    Heads,
    Rejection,
    malformed,
)

HEAD_TOO_LARGE = Rejection(431, "head_too_large", f"the head exceeds {BLOCK_MAX_BYTES} bytes")
UNKNOWN_VERSION = Rejection(
    505, "unknown_version", "unsupported HTTP version; use HTTP/1.1 or HTTP/1.0"
)
HEAD_END = b"\r\n\r\n"
_CHUNKED_HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
_ENCODED_MAX_TIMES = 2  # the encoded size of a chunked body over its limit
# Stricter than llhttp: exactly one space, a supported version, a target of a known form.
_LINE = re.compile(
    rb"CONNECT [!-~]+ HTTP/1\.[01]|[A-Z-]{1,32} (?:/|https?://|(?<=OPTIONS )\*)[!-~]* HTTP/1\.[01]"
)
_VERSION = re.compile(rb" HTTP/(?!1\.[01]\Z)[0-9]\.[0-9]\Z")


class CompleteRequest(msgspec.Struct, gc=False):
    """A request that has arrived completely; a chunked body is decoded."""

    line: bytes
    head: Head
    body: bytes

    @property
    def raw(self) -> bytes:
        """The request as bytes, without header fields of this hop, chunks and trailers.

        So no second parser could decode chunks or trailers differently.
        """
        length = b"Content-Length: %d\r\n" % len(self.body) if self.head.is_chunked else b""
        return b"%b\r\n%b%b%b" % (self.line, length, self.head.plain_block, self.body)


class Framer:
    """Splits the data that a connection receives into requests."""

    def __init__(self, heads: Heads, body_max_bytes: int) -> None:
        self.awaited: Head | None = None  # of a request whose body is incomplete
        self.line = b""  # of a request whose body is too large
        self._heads = heads
        self._body_max_bytes = body_max_bytes
        self._data: bytes | bytearray = b""  # a bytearray while it grows
        self._at = 0
        self._missing_bytes = 0  # needed before another attempt can succeed
        self._chunked: _Chunked | None = None

    @property
    def unread_bytes(self) -> int:
        """Received bytes that are not part of a request returned by `next`."""
        return len(self._data) - self._at

    def feed(self, data: bytes) -> None:
        """Add received data."""
        self._missing_bytes -= len(data)
        if self._at == len(self._data):
            self._data, self._at = data, 0
            return
        if not isinstance(self._data, bytearray):
            self._data, self._at = bytearray(self._data[self._at :]), 0
        self._data += data

    def next(self) -> CompleteRequest | Rejection | None:
        """The next request, a rejection that ends the connection, or None if data is missing."""
        if self._missing_bytes > 0 or self._at == len(self._data):
            return None
        if self._chunked is not None:
            return self._with_chunks(self._chunked)
        if isinstance(self._data, bytearray):
            self._data = bytes(self._data)
        data, begin = self._data, self._at
        while data.startswith(b"\r\n", begin):  # RFC 9112 2.2: empty lines before a request
            begin = self._at = begin + 2
        end = data.find(HEAD_END, begin)
        if end < 0 or end - begin > BLOCK_MAX_BYTES:
            return self._partial_head(data[begin:])
        line_end = data.find(b"\r\n", begin, end + 2)
        line = data[begin:line_end]
        head = self._heads.get(data[line_end + 2 : end + 4])
        if head.rejection is not None:
            return head.rejection
        if not head.has_host and not line.endswith(b" HTTP/1.0"):
            return NO_HOST
        return self._with_body(data, line, head, end + 4)

    def _with_body(
        self, data: bytes, line: bytes, head: Head, begin: int
    ) -> CompleteRequest | Rejection | None:
        if head.length > self._body_max_bytes:
            self.line = line
            return too_large(head.length, self._body_max_bytes)
        if head.is_chunked:
            if line.endswith(b" HTTP/1.0"):
                return CHUNKED_1_0
            # Drop what precedes it: offsets stay valid while it grows.
            self._data, begin, self._at = bytearray(data[self._at :]), begin - self._at, 0
            self._chunked = _Chunked(line, head, begin)
            return self._with_chunks(self._chunked)
        stop = begin + head.length
        if stop > len(data):
            self.awaited, self._missing_bytes = head, stop - len(data)
            return None
        self.awaited = None
        if stop == len(data):
            self._data, self._at = b"", 0  # an idle connection keeps no buffer
        else:
            self._at = stop
        return CompleteRequest(line, head, data[begin:stop])

    def _with_chunks(self, chunked: _Chunked) -> CompleteRequest | Rejection | None:
        self.awaited = chunked.head
        try:
            is_complete = chunked.read(self._data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            return malformed(error)
        # A chunk of one byte is encoded in six; the limit covers the body and, more loosely, that.
        size = max(len(chunked.body), (chunked.at - chunked.begin) // _ENCODED_MAX_TIMES)
        if size > self._body_max_bytes:
            self.line = chunked.line
            return too_large(None, self._body_max_bytes)
        if not is_complete:
            return None
        self._at, self.awaited, self._chunked = chunked.at, None, None
        return CompleteRequest(chunked.line, chunked.head, bytes(chunked.body))

    def _partial_head(self, head: bytes) -> Rejection | None:
        begin = head[: BLOCK_MAX_BYTES + len(HEAD_END) - 1]
        if b"\n\n" in begin or b"\n\r\n" in begin:
            return malformed("lines must end in CRLF")
        return HEAD_TOO_LARGE if len(head) > len(begin) else None


def check_line(line: bytes) -> Rejection | None:
    """Why a request line is rejected, or None.

    llhttp ignores additional spaces, and accepts HTTP/0.9, HTTP/2.0 and RTSP.
    """
    if _LINE.fullmatch(line) is None:
        is_version = _VERSION.search(line) is not None
        return UNKNOWN_VERSION if is_version else malformed(f"invalid request line {line!r:.80}")
    try:
        httptools.HttpRequestParser(object()).feed_data(line + b"\r\nHost: a\r\n\r\n")
    except httptools.HttpParserUpgrade:
        return Rejection(501, "not_implemented", "unsupported method CONNECT")
    except httptools.HttpParserError as error:
        return malformed(error)
    return None


class _Chunked:
    """Decodes a chunked body with llhttp, which does not report where the body ends.

    A body always ends in CRLF CRLF, so llhttp gets the data up to each such place, and after each
    of them the message is either complete or not.
    """

    def __init__(self, line: bytes, head: Head, begin: int) -> None:
        self.line = line
        self.head = head
        self.begin = begin
        self.at = begin  # decoded up to here
        self.body = bytearray()
        self._is_complete = False
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(_CHUNKED_HEAD)

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self._is_complete = True

    def read(self, data: bytes | bytearray) -> bool:
        """Decode more of `data`, which has only grown since the last call; True at the end.

        Raises:
            HttpParserError: invalid chunks.
        """
        while (end := data.find(HEAD_END, max(self.begin, self.at - 3))) >= 0:
            self._feed(data, end + 4)
            if self._is_complete:
                return True
        # The last three bytes may be the start of CRLF CRLF: decode them later.
        if len(data) - 3 > self.at:
            self._feed(data, len(data) - 3)
        return False

    def _feed(self, data: bytes | bytearray, stop: int) -> None:
        self._parser.feed_data(data[self.at : stop])
        self.at = stop


def too_large(length: int | None, limit: int) -> Rejection:
    """413 for a body over the limit; `length` is None if it is chunked."""
    size = "more bytes than allowed" if length is None else f"{length} bytes"
    return Rejection(413, "body_too_large", f"the body has {size}; send at most {limit}")
