"""Bytes of a connection → whole requests. Pure: no socket, no clock.

Fast code: the usual request costs two searches for CRLF, one dict look-up and two slices, and
no byte of a body is looked at.
"""

from __future__ import annotations

from typing import NamedTuple

import httptools

from tributary.lane.head import BLOCK_MAX_BYTES, NO_HOST, Fault, Head, Heads

_HEAD_END = b"\r\n\r\n"


class Whole(NamedTuple):
    """A request that has arrived completely; the body of a chunked one is still encoded."""

    line: bytes
    head: Head
    body: bytes

    @property
    def raw(self) -> bytes:
        """The request as bytes, without what only concerned its transport."""
        return b"%b\r\n%b%b" % (self.line, self.head.plain_block, self.body)


class Framer:
    """Takes requests out of what a connection receives."""

    def __init__(self, heads: Heads, body_max_bytes: int) -> None:
        self.awaited: Head | None = None  # the head of a request whose body is under way
        self._heads = heads
        self._body_max_bytes = body_max_bytes
        self._data = b""
        self._at = 0
        self._later: list[bytes] = []
        self._missing_bytes = 0  # to come before looking again makes sense
        self._chunked: _Chunked | None = None

    @property
    def unread_bytes(self) -> int:
        """How much has come and is not part of a request given out."""
        unread_bytes = len(self._data) - self._at
        return unread_bytes + sum(map(len, self._later)) if self._later else unread_bytes

    def feed(self, data: bytes) -> None:
        """Bytes have come."""
        self._missing_bytes -= len(data)
        if self._at == len(self._data) and not self._later:
            self._data, self._at = data, 0
        else:
            self._later.append(data)

    def next(self) -> Whole | Fault | None:
        """The next request, the fault that ends the connection, or None if more must come."""
        if self._missing_bytes > 0:
            return None
        if self._later:
            self._data = b"".join((self._data[self._at :], *self._later))
            self._at = 0
            self._later.clear()
        data, begin = self._data, self._at
        if begin == len(data):
            return None
        while data.startswith(b"\r\n", begin):  # RFC 9112 2.2: empty lines before a request
            begin = self._at = begin + 2
        end = data.find(_HEAD_END, begin)
        if end < 0:
            return self._partial_head(data[begin:])
        line_end = data.find(b"\r\n", begin, end + 2)
        line = data[begin:line_end]
        head = self._heads.get(data[line_end + 2 : end + 4])
        if head.fault is not None:
            return head.fault
        if not head.has_host and not line.endswith(b" HTTP/1.0"):
            return NO_HOST
        return self._with_body(line, head, end + 4)

    def _with_body(self, line: bytes, head: Head, begin: int) -> Whole | Fault | None:
        data, stop = self._data, begin + head.length
        if head.is_chunked:
            length = self._chunked_length(line, head, data[begin:])
            if not isinstance(length, int):
                return length
            stop = begin + length
        elif stop > len(data):
            return self._partial_body(head, stop - len(data))
        self._at, self.awaited, self._chunked = stop, None, None
        return Whole(line, head, data[begin:stop])

    def _partial_head(self, head: bytes) -> Fault | None:
        if len(head) > BLOCK_MAX_BYTES:
            return Fault(431, "head_too_large", f"the head exceeds {BLOCK_MAX_BYTES} bytes")
        if b"\n\n" in head or b"\n\r\n" in head:
            return Fault(400, "malformed_http", "the request is not HTTP: lines end in CRLF")
        return None

    def _partial_body(self, head: Head, missing_bytes: int) -> Fault | None:
        if head.length > self._body_max_bytes:
            return too_large(head.length, self._body_max_bytes)
        self.awaited, self._missing_bytes = head, missing_bytes
        return None

    def _chunked_length(self, line: bytes, head: Head, body: bytes) -> int | Fault | None:
        """Length of a chunked body, chunk sizes included, if all of it has come."""
        try:
            if self._chunked is None:
                self._chunked = _Chunked(b"%b\r\n%b" % (line, head.plain_block))
                self.awaited = head
            length = self._chunked.find_end(body)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            return malformed(error)
        if length is None and len(body) > 2 * self._body_max_bytes:
            return too_large(len(body), self._body_max_bytes)
        return length


def check_line(line: bytes) -> Fault | None:
    """Why llhttp would not take a request line, if it would not."""
    try:
        httptools.HttpRequestParser(_Nobody()).feed_data(line + b"\r\nHost: a\r\n\r\n")
    except httptools.HttpParserUpgrade:
        return Fault(501, "not_implemented", "CONNECT is not known here")
    except httptools.HttpParserError as error:
        return malformed(error)
    return None


def malformed(error: object) -> Fault:
    """400 for what llhttp does not take."""
    return Fault(400, "malformed_http", f"the request is not HTTP: {error}")


class _Nobody:
    """Wants to know nothing of what is parsed."""


class _Chunked:
    """Finds the end of a chunked body; llhttp decides, this only cuts where it may be.

    A body ends in CRLF CRLF, whatever chunks and trailers come before. So bytes are given to
    llhttp up to each such place, and the message is complete at one of them or not yet.
    """

    def __init__(self, head: bytes) -> None:
        self._is_complete = False
        self._seen = 0
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(head)

    def on_message_complete(self) -> None:
        self._is_complete = True

    def find_end(self, body: bytes) -> int | None:
        """Length of the body, once it is complete.

        Raises:
            HttpParserError: it is not chunked as HTTP asks.
        """
        while (end := body.find(_HEAD_END, max(0, self._seen - 3))) >= 0:
            self._parser.feed_data(body[self._seen : end + 4])
            self._seen = end + 4
            if self._is_complete:
                return self._seen
        # The last three bytes may be the beginning of such a place: they are kept back.
        if len(body) - 3 > self._seen:
            self._parser.feed_data(body[self._seen : -3])
            self._seen = len(body) - 3
        return None


def too_large(length: int, limit: int) -> Fault:
    """413 for a body beyond the limit."""
    return Fault(413, "body_too_large", f"the body has {length} bytes; send at most {limit}")
