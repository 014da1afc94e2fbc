"""Commands as bytes of RESP, the protocol of Redis."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from tributary.store.pipe import pack

# What is in front of a word of each length, with the end of the word before it.
_HEADS = [b"\r\n$%d\r\n" % size for size in range(4_096)]


def pack_long(command: Sequence[str | bytes]) -> bytes:
    """The same as `pack`, in half the time if there are thousands of short words."""
    words = [word if type(word) is bytes else word.encode() for word in command]  # type: ignore[union-attr]
    heads = map(_HEADS.__getitem__, map(len, words))
    try:
        joined = b"".join(chain.from_iterable(zip(heads, words, strict=True)))
    except IndexError:  # a word is longer
        return pack(tuple(command))
    return b"*%d%b\r\n" % (len(words), joined)
