"""Bodies as they travel: plain or gzip, never larger unpacked than a plain one may be. Pure."""

from __future__ import annotations

import zlib

from tributary.errors import Refused

_GZIP = 16 + zlib.MAX_WBITS


def decoded(body: bytes, encoding: str, max_bytes: int) -> bytes:
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
    unpacked = bytearray()
    rest = body
    try:
        while rest:  # RFC 1952 2.2: a file may have several members
            member = zlib.decompressobj(_GZIP)
            unpacked += member.decompress(rest, max_bytes + 1 - len(unpacked))
            if len(unpacked) > max_bytes:
                raise Refused(
                    f"the body unpacks to more than {max_bytes} bytes; send less at once",
                    status=413,
                    code="body_too_large",
                )
            if not member.eof:
                raise _broken("it ends too early")
            rest = member.unused_data
    except zlib.error as error:
        raise _broken(str(error)) from None
    return bytes(unpacked)


def _broken(fault: str) -> Refused:
    return Refused(f"the body is not gzip: {fault}", status=400, code="bad_gzip")
