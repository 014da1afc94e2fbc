"""Content decoding: identity or gzip, limited to the size of an uncompressed body. Pure."""

from __future__ import annotations

import zlib

from tributary.errors import Refused

_GZIP = 16 + zlib.MAX_WBITS
_MEMBERS_MAX = 1000  # each costs some microseconds, even if it is empty
_PIECE_BYTES = 4096  # after each member the rest of the piece is copied, and members may be tiny


def decompress(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Remove the content encoding of a body.

    Raises:
        Refused: 400 invalid gzip, 413 too large after decompression, 415 unsupported encoding.
    """
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise Refused(
            f"unsupported content encoding {encoding!r:.40}; use gzip or none",
            status=415,
            code="unknown_content_encoding",
        )
    try:
        return _gunzip(body, max_bytes)
    except zlib.error as error:
        raise _invalid(str(error)) from None


def _gunzip(body: bytes, max_bytes: int) -> bytes:
    compressed, at = memoryview(body), 0
    content = bytearray()
    member, members = zlib.decompressobj(_GZIP), 1
    while at < len(body):
        if member.eof:  # RFC 1952 2.2: a file may have several members
            member, members = zlib.decompressobj(_GZIP), members + 1
            if members > _MEMBERS_MAX:
                raise _invalid(f"more than {_MEMBERS_MAX} members")
        piece = compressed[at : at + _PIECE_BYTES]
        content += member.decompress(piece, max_bytes + 1 - len(content))
        if len(content) > max_bytes:
            raise Refused(
                f"the body has more than {max_bytes} bytes after decompression; send less at once",
                status=413,
                code="body_too_large",
            )
        at += len(piece) - len(member.unused_data)
    if body and not member.eof:
        raise _invalid("unexpected end")
    return bytes(content)


def _invalid(problem: str) -> Refused:
    return Refused(f"invalid gzip: {problem}", status=400, code="bad_gzip")
