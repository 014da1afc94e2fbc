"""Requests that two servers might interpret differently, with the expected result of each.

`@T` stands for the target, `@B` for a body that records a reading, `@L` for its length, `@C` for
the body in one chunk without the last one. A whole request that records `smuggled` follows each.
"""

from __future__ import annotations

from typing import NamedTuple

PASSED = 0  # gets a response; so does the request behind it
LAST = -1  # gets a response; the connection ends, and what is behind it is ignored


class Case(NamedTuple):
    """Bytes, and what becomes of them: a status that refuses them, PASSED or LAST."""

    name: str
    raw: bytes
    outcome: int


_LINE = b"POST @T HTTP/1.1\r\n"
_HEAD = _LINE + b"Host: here\r\n"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
_END = b"0\r\n\r\n"


def _length(value: bytes) -> bytes:
    return _HEAD + b"Content-Length: " + value + b"\r\n\r\n@B"


def _field(field: bytes) -> bytes:
    return _HEAD + field + b"\r\nContent-Length: @L\r\n\r\n@B"


def _coding(*values: bytes) -> bytes:
    fields = b"".join(b"Transfer-Encoding: %b\r\n" % value for value in values)
    return _HEAD + fields + b"\r\n@C" + _END


def _line(line: bytes) -> bytes:
    return line + b"\r\nHost: here\r\nContent-Length: @L\r\n\r\n@B"


LENGTHS = [
    Case("length", _length(b"@L"), PASSED),
    Case("length with leading zeros", _length(b"000@L"), PASSED),
    Case("length between blanks", _length(b" \t@L \t"), PASSED),
    Case("length with plus", _length(b"+@L"), 400),
    Case("length negative", _length(b"-1"), 400),
    Case("length in hex", _length(b"0x10"), 400),
    Case("length with point", _length(b"@L.0"), 400),
    Case("length with exponent", _length(b"1e1"), 400),
    Case("length with underscore", _length(b"1_0"), 400),
    Case("length as list of equals", _length(b"@L, @L"), 400),
    Case("length as list", _length(b"0, @L"), 400),
    Case("length with blank inside", _length(b"1 0"), 400),
    Case("length empty", _length(b""), 400),
    Case("length in other digits", _length("\u0661\u0660".encode()), 400),
    Case("length beyond 64 bits", _length(b"18446744073709551616"), 400),
    Case("length of 64 bits", _length(b"18446744073709551615"), 413),
    Case("length too large", _length(b"1048577"), 413),
    Case("length twice and equal", _field(b"Content-Length: @L"), 400),
    Case("length twice", _field(b"Content-Length: 0"), 400),
    Case("length twice in other case", _field(b"content-LENGTH: 0"), 400),
]

CODINGS = [
    Case("chunked", _coding(b"chunked"), PASSED),
    Case("chunked in capitals", _coding(b"CHUNKED"), PASSED),
    Case("CL.TE", _field(b"Transfer-Encoding: chunked"), 400),
    Case(
        "TE.CL",
        _HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n@C" + _END,
        400,
    ),
    Case("TE twice", _coding(b"chunked", b"chunked"), 400),
    Case("TE identity, then chunked", _coding(b"identity", b"chunked"), 400),
    Case("TE chunked, then identity", _coding(b"chunked", b"identity"), 400),
    Case("TE list ends in chunked", _coding(b"gzip, chunked"), 501),
    Case("TE list of two", _coding(b"chunked, chunked"), 400),
    Case("TE list ends otherwise", _coding(b"chunked, identity"), 400),
    Case("TE identity", _coding(b"identity"), 400),
    Case("TE unknown", _coding(b"xchunked"), 400),
    Case("TE quoted", _coding(b'"chunked"'), 400),
    Case("TE with parameter", _coding(b"chunked;q=1"), 400),
    Case("TE empty", _coding(b""), 400),
    Case("TE after vertical tab", _coding(b"\x0bchunked"), 400),
    Case("TE with NUL", _coding(b"chunked\x00"), 400),
    Case("TE with blank before the colon", _HEAD + b"Transfer-Encoding : chunked\r\n\r\n", 400),
    Case("TE folded", _HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n@C" + _END, 400),
    Case("TE with underscore", _field(b"Transfer_Encoding: chunked"), 400),
    Case("TE behind a bare CR", _field(b"X: a\rTransfer-Encoding: chunked"), 400),
    Case("TE behind a bare LF", _field(b"X: a\nTransfer-Encoding: chunked"), 400),
    Case("TE in HTTP/1.0", _CHUNKED.replace(b"/1.1", b"/1.0") + b"@C" + _END, 400),
]

CHUNKS = [
    Case("chunk extension", _CHUNKED + b"1;a=b\r\n \r\n@C" + _END, PASSED),
    Case("chunk size with zeros", _CHUNKED + b"0001\r\n \r\n@C" + _END, PASSED),
    Case("chunk extension with LF", _CHUNKED + b"1;a\nb\r\n \r\n@C" + _END, 400),
    Case("chunk extension with CR", _CHUNKED + b"1;a\rb\r\n \r\n@C" + _END, 400),
    Case("chunk size negative", _CHUNKED + b"-1\r\n \r\n@C" + _END, 400),
    Case("chunk size with plus", _CHUNKED + b"+1\r\n \r\n@C" + _END, 400),
    Case("chunk size with 0x", _CHUNKED + b"0x1\r\n \r\n@C" + _END, 400),
    Case("chunk size with underscore", _CHUNKED + b"0_1\r\n \r\n@C" + _END, 400),
    Case("chunk size after a blank", _CHUNKED + b" 1\r\n \r\n@C" + _END, 400),
    Case("chunk size before a blank", _CHUNKED + b"1 \r\n \r\n@C" + _END, 400),
    Case("chunk size empty", _CHUNKED + b"\r\n \r\n@C" + _END, 400),
    Case("chunk size no number", _CHUNKED + b"zz\r\n \r\n@C" + _END, 400),
    Case("chunk size beyond 64 bits", _CHUNKED + b"10000000000000001\r\n \r\n@C" + _END, 400),
    Case("chunk shorter than its size", _CHUNKED + b"5\r\n \r\n@C" + _END, 400),
    Case("chunk longer than its size", _CHUNKED + b"1\r\n  \r\n@C" + _END, 400),
    Case("chunk ends in LF", _CHUNKED + b"1\r\n \n@C" + _END, 400),
    Case("chunk size ends in LF", _CHUNKED + b"1\n \r\n@C" + _END, 400),
    Case("chunk size ends in CR", _CHUNKED + b"1\r \r\n@C" + _END, 400),
    Case("last chunk ends in LF", _CHUNKED + b"@C0\n\n", 400),
    Case("trailer", _CHUNKED + b"@C0\r\nX-Sum: 1\r\n\r\n", PASSED),
    Case("trailer that would deny", _CHUNKED + b"@C0\r\nContent-Type: a/b\r\n\r\n", PASSED),
    Case("trailer with length", _CHUNKED + b"@C0\r\nContent-Length: 5\r\n\r\n", 400),
    Case("trailer with coding", _CHUNKED + b"@C0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    Case("trailer without colon", _CHUNKED + b"@C0\r\nfoo\r\n\r\n", 400),
]

FIELDS = [
    Case("field unknown", _field(b"X: a:b"), PASSED),
    Case("field folded", _field(b"X: a\r\n b"), 400),
    Case("field folded with tab", _field(b"X: a\r\n\tb"), 400),
    Case("first field folded", _LINE + b" X: a\r\nHost: here\r\n\r\n", 400),
    Case("line of a blank", _field(b" "), 400),
    Case("blank before colon", _field(b"X : a"), 400),
    Case("no colon", _field(b"X"), 400),
    Case("no name", _field(b": a"), 400),
    Case("NUL in value", _field(b"X: a\x00b"), 400),
    Case("NUL in name", _field(b"X\x00: a"), 400),
    Case("bare CR in value", _field(b"X: a\rb"), 400),
    Case("bare LF in value", _field(b"X: a\nb"), 400),
    Case("two CR", _field(b"X: a\r"), 400),
    Case("underscore in name", _field(b"Content_Length: 0"), 400),
    Case("name not ASCII", _field(b"X\xff: a"), 400),
    Case("value not ASCII", _field(b"X: \xff"), PASSED),
    Case("head ends in LF LF", _HEAD.replace(b"\r\n", b"\n") + b"\n", 400),
    Case("head ends in CRLF LF", _HEAD + b"\n", 400),
    Case("64 fields", _HEAD + b"X: a\r\n" * 62 + b"Content-Length: @L\r\n\r\n@B", PASSED),
    Case("65 fields", _HEAD + b"X: a\r\n" * 63 + b"Content-Length: @L\r\n\r\n@B", 431),
    Case("field of 16 KiB", _field(b"X: " + b"a" * 16_384), 431),
    Case("many short lines", _HEAD + b"X: a\r\n" * 10_000 + b"\r\n", 431),
    Case("content type twice", _field(b"Content-Type: text/plain\r\nContent-Type: a/b"), 400),
    Case("authorization twice", _field(b"Authorization: a\r\nAuthorization: b"), 400),
    Case("expectation unknown", _field(b"Expect: 200-ok"), 417),
    Case("upgrade to h2c", _field(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c"), PASSED),
    Case("upgrade to websocket", _field(b"Connection: Upgrade\r\nUpgrade: websocket"), PASSED),
    Case("close", _field(b"Connection: close"), LAST),
    Case("close in a list", _field(b"Connection: x, Close"), LAST),
    Case("close and keep-alive", _field(b"Connection: close\r\nConnection: keep-alive"), LAST),
    Case("keep-alive", _field(b"Connection: keep-alive"), PASSED),
    Case("Content-Length named as hop", _field(b"Connection: Content-Length"), PASSED),
]

HOSTS = [
    Case("host missing", _LINE + b"Content-Length: @L\r\n\r\n@B", 400),
    Case("host twice", _field(b"Host: there"), 400),
    Case("host twice and equal", _field(b"Host: here"), 400),
    Case("host with blank", _LINE + b"Host: a b\r\n\r\n", 400),
    Case("host with path", _LINE + b"Host: a/b\r\n\r\n", 400),
    Case("host with user", _LINE + b"Host: a@b\r\n\r\n", 400),
    Case("host in brackets", _LINE + b"Host: [::1]:80\r\nContent-Length: @L\r\n\r\n@B", PASSED),
    Case("host empty", _LINE + b"Host:\r\nContent-Length: @L\r\n\r\n@B", PASSED),
]

LINES = [
    Case("empty lines before", b"\r\n\r\n" + _length(b"@L"), PASSED),
    Case("bare LF before", b"\n" + _length(b"@L"), 400),
    Case("bare CR before", b"\r" + _length(b"@L"), 400),
    Case("blank before", b" " + _length(b"@L"), 400),
    Case("NUL before", b"\x00" + _length(b"@L"), 400),
    Case("HTTP/0.9", b"GET @T\r\n\r\n", 400),
    Case("HTTP/0.9 with fields", _line(b"POST @T"), 400),
    Case("HTTP/1.0", _line(b"POST @T HTTP/1.0"), LAST),
    Case("HTTP/1.0 without host", b"POST @T HTTP/1.0\r\nContent-Length: @L\r\n\r\n@B", LAST),
    Case("HTTP/1.2", _line(b"POST @T HTTP/1.2"), 505),
    Case("HTTP/2.0", _line(b"POST @T HTTP/2.0"), 505),
    Case("HTTP/1.10", _line(b"POST @T HTTP/1.10"), 400),
    Case("http in small letters", _line(b"POST @T http/1.1"), 400),
    Case("RTSP", _line(b"POST @T RTSP/1.0"), 400),
    Case("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    Case("TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    Case("no version", _line(b"POST @T HTTP"), 400),
    Case("method unknown", _line(b"SMUGGLE @T HTTP/1.1"), 400),
    Case("method in small letters", _line(b"post @T HTTP/1.1"), 400),
    Case("CONNECT", _line(b"CONNECT here:80 HTTP/1.1"), 501),
    Case("authority as target", _line(b"POST here:80 HTTP/1.1"), 400),
    Case("two blanks", _line(b"POST  @T HTTP/1.1"), 400),
    Case("tab", _line(b"POST\t@T HTTP/1.1"), 400),
    Case("blank at the end", _line(b"POST @T HTTP/1.1 "), 400),
    Case("blank in target", _line(b"POST @T b HTTP/1.1"), 400),
    Case("CR in target", _line(b"POST @T\rb HTTP/1.1"), 400),
    Case("LF in target", _line(b"POST @T HTTP/1.1\nX: b"), 400),
    Case("NUL in target", _line(b"POST @T\x00 HTTP/1.1"), 400),
    Case("target not ASCII", _line(b"POST @T\xff HTTP/1.1"), 400),
    Case("target very long", _line(b"POST @T?" + b"a" * 17_000 + b" HTTP/1.1"), 431),
    Case("absolute form", _line(b"POST http://there@T HTTP/1.1"), PASSED),
]

CORPUS = [*LENGTHS, *CODINGS, *CHUNKS, *FIELDS, *HOSTS, *LINES]


def filled(case: Case, target: str, device: str) -> bytes:
    """The bytes of a case for a target; its body records a reading of the device."""
    body = b'{"device":"%b","n":1}' % device.encode()
    chunk = b"%x\r\n%b\r\n" % (len(body), body)
    raw = case.raw.replace(b"@T", target.encode()).replace(b"@B", body)
    return raw.replace(b"@L", b"%d" % len(body)).replace(b"@C", chunk)
