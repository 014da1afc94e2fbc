"""Bytes of a connection → whole requests. Pure: no socket, no clock.

Fast code: the usual request costs two searches for CRLF, one dict look-up and two slices, and
no byte of a body is looked at.
"""

from __future__ import annotations

import re

import httptools
import msgspec

from tributary.http.lane.head import BLOCK_MAX_BYTES, CHUNKED_1_0, NO_HOST, Head, Heads, Rejection

HEAD_TOO_LARGE = Rejection(431, "head_too_large", f"the head exceeds {BLOCK_MAX_BYTES} bytes")
UNKNOWN_VERSION = Rejection(505, "unknown_version", "only HTTP/1.1 and HTTP/1.0 are spoken here")
HEAD_END = b"\r\n\r\n"
_CHUNKED_HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
_ENCODED_MAX_TIMES = 2  # a chunked body may be so much longer with its chunk sizes
# Of what llhttp would take, too: no version, more spaces, a target of no known form.
_LINE = re.compile(
    rb"CONNECT [!-~]+ HTTP/1\.[01]|[A-Z-]{1,32} (?:/|https?://|(?<=OPTIONS )\*)[!-~]* HTTP/1\.[01]"
)
_VERSION = re.compile(rb" HTTP/(?!1\.[01]\Z)[0-9]\.[0-9]\Z")


class CompleteRequest(msgspec.Struct, gc=False):
    """A request that has arrived completely; a chunked body is put together."""

    line: bytes
    head: Head
    body: bytes

    @property
    def raw(self) -> bytes:
        """The request as bytes, without what only concerned its transport.

        Chunks and trailers stay behind: nobody after us has to read them as we did.
        """
        length = b"Content-Length: %d\r\n" % len(self.body) if self.head.is_chunked else b""
        return b"%b\r\n%b%b%b" % (self.line, length, self.head.plain_block, self.body)


class Framer:
    """Takes requests out of what a connection receives."""

    def __init__(self, heads: Heads, body_max_bytes: int) -> None:
        self.awaited: Head | None = None  # the head of a request whose body is under way
        self._heads = heads
        self._body_max_bytes = body_max_bytes
        self._data: bytes | bytearray = b""  # a bytearray while it grows
        self._at = 0
        self._missing_bytes = 0  # to come before looking again makes sense
        self._chunked: _Chunked | None = None

    @property
    def unread_bytes(self) -> int:
        """How much has come and is not part of a request given out."""
        return len(self._data) - self._at

    def feed(self, data: bytes) -> None:
        """Bytes have come."""
        self._missing_bytes -= len(data)
        if self._at == len(self._data):
            self._data, self._at = data, 0
            return
        if not isinstance(self._data, bytearray):
            self._data, self._at = bytearray(self._data[self._at :]), 0
        self._data += data

    def next(self) -> CompleteRequest | Rejection | None:
        """The next request, the fault that ends the connection, or None if more must come."""
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
            return too_large(head.length, self._body_max_bytes)
        if head.is_chunked:
            if line.endswith(b" HTTP/1.0"):
                return CHUNKED_1_0
            # Places in it stay the same while it grows.
            self._data, begin, self._at = bytearray(data[self._at :]), begin - self._at, 0
            self._chunked = _Chunked(line, head, begin)
            return self._with_chunks(self._chunked)
        stop = begin + head.length
        if stop > len(data):
            self.awaited, self._missing_bytes = head, stop - len(data)
            return None
        self.awaited = None
        if stop == len(data):
            self._data, self._at = b"", 0  # a connection at rest keeps nothing
        else:
            self._at = stop
        return CompleteRequest(line, head, data[begin:stop])

    def _with_chunks(self, chunked: _Chunked) -> CompleteRequest | Rejection | None:
        self.awaited = chunked.head
        try:
            is_complete = chunked.read(self._data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            return malformed(error)
        # Chunks of one byte are six on the way, and may be: what counts for memory is both.
        long = max(len(chunked.body), (chunked.at - chunked.begin) // _ENCODED_MAX_TIMES)
        if long > self._body_max_bytes:
            return too_large(None, self._body_max_bytes)
        if not is_complete:
            return None
        self._at, self.awaited, self._chunked = chunked.at, None, None
        return CompleteRequest(chunked.line, chunked.head, bytes(chunked.body))

    def _partial_head(self, head: bytes) -> Rejection | None:
        begin = head[: BLOCK_MAX_BYTES + len(HEAD_END) - 1]
        if b"\n\n" in begin or b"\n\r\n" in begin:
            return Rejection(400, "malformed_http", "the request is not HTTP: lines end in CRLF")
        if len(head) > len(begin):
            return HEAD_TOO_LARGE
        return None


def check_line(line: bytes) -> Rejection | None:
    """Why a request line is not to be taken, if it is not.

    llhttp passes over more than one space, and knows HTTP/0.9, HTTP/2.0 and RTSP.
    """
    if _VERSION.search(line) is not None and _LINE.fullmatch(line) is None:
        return UNKNOWN_VERSION
    if _LINE.fullmatch(line) is None:
        return malformed(f"{line!r:.80} is no request line")
    try:
        httptools.HttpRequestParser(_Nobody()).feed_data(line + b"\r\nHost: a\r\n\r\n")
    except httptools.HttpParserUpgrade:
        return Rejection(501, "not_implemented", "CONNECT is not known here")
    except httptools.HttpParserError as error:
        return malformed(error)
    return None


def malformed(error: object) -> Rejection:
    """400 for what llhttp does not take."""
    return Rejection(400, "malformed_http", f"the request is not HTTP: {error}")


class _Nobody:
    """Wants to know nothing of what is parsed."""


class _Chunked:
    """Puts a chunked body together; llhttp decides, this only cuts where its end may be.

    A body ends in CRLF CRLF, whatever chunks and trailers come before. So bytes are given to
    llhttp up to each such place, and the message is complete at one of them or not yet.
    """

    def __init__(self, line: bytes, head: Head, begin: int) -> None:
        self.line = line
        self.head = head
        self.begin = begin
        self.at = begin  # so far it is read
        self.body = bytearray()
        self._is_complete = False
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(_CHUNKED_HEAD)

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self._is_complete = True

    def read(self, data: bytes | bytearray) -> bool:
        """Read on in what has come, which begins as it began before; whether that is all.

        Raises:
            HttpParserError: it is not chunked as HTTP asks.
        """
        while (end := data.find(HEAD_END, max(self.begin, self.at - 3))) >= 0:
            self._feed(data, end + 4)
            if self._is_complete:
                return True
        # The last three bytes may be the beginning of such a place: they are kept back.
        if len(data) - 3 > self.at:
            self._feed(data, len(data) - 3)
        return False

    def _feed(self, data: bytes | bytearray, stop: int) -> None:
        self._parser.feed_data(data[self.at : stop])
        self.at = stop


def too_large(length: int | None, limit: int) -> Rejection:
    """413 for a body beyond the limit; a chunked one has no length before its end."""
    long = "more bytes than allowed" if length is None else f"{length} bytes"
    return Rejection(413, "body_too_large", f"the body has {long}; send at most {limit}")
