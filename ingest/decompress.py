"""Bodies as they travel: plain or gzip, never larger unpacked than a plain one may be. Pure."""

from __future__ import annotations

import zlib

from tributary.errors import Refused

_GZIP = 16 + zlib.MAX_WBITS
_MEMBERS_MAX = 1000  # each costs some microseconds, however little is in it
_PIECE_BYTES = 4096  # of each, the rest behind a member is copied: members may be tiny, and many


def decompress(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """A body without its content encoding.

    Raises:
        Refused: 400 broken gzip, 413 too large unpacked, 415 another encoding.
    """
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise Refused(
            f"content encoding {encoding!r:.40} is not known; send gzip, or send it plain",
            status=415,
            code="unknown_content_encoding",
        )
    try:
        return _unpacked(body, max_bytes)
    except zlib.error as error:
        raise _broken(str(error)) from None


def _unpacked(body: bytes, max_bytes: int) -> bytes:
    packed, at = memoryview(body), 0
    unpacked = bytearray()
    member, members = zlib.decompressobj(_GZIP), 1
    while at < len(body):
        if member.eof:  # RFC 1952 2.2: a file may have several members
            member, members = zlib.decompressobj(_GZIP), members + 1
            if members > _MEMBERS_MAX:
                raise _broken(f"it has more than {_MEMBERS_MAX} members")
        piece = packed[at : at + _PIECE_BYTES]
        unpacked += member.decompress(piece, max_bytes + 1 - len(unpacked))
        if len(unpacked) > max_bytes:
            raise Refused(
                f"the body unpacks to more than {max_bytes} bytes; send less at once",
                status=413,
                code="body_too_large",
            )
        at += len(piece) - len(member.unused_data)
    if body and not member.eof:
        raise _broken("it ends too early")
    return bytes(unpacked)


def _broken(fault: str) -> Refused:
    return Refused(f"the body is not gzip: {fault}", status=400, code="bad_gzip")
