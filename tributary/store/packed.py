"""Lists of words as one argument of a script: a MessagePack array of arrays of strings.

Each argument of a command costs Redis several allocations, which together take longer than writing
it. Strings here are any bytes, as in MessagePack before it had a type for them, because the decoder
of Redis (`cmsgpack`) has no other: https://redis.io/docs/latest/develop/programmability/lua-api/.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import chain

Word = str | bytes
_STR_16, _STR_32, _ARRAY_32, _EMPTY = b"\xda", b"\xdb", b"\xdd", b"\x90"
_HEADS = [_STR_16 + struct.pack(">H", size) for size in range(4_096)]  # of words, by their length


def pack(lists: Sequence[Sequence[Word]]) -> bytes:
    """Pack lists; `cmsgpack.unpack` in a script is the reverse."""
    return b"".join((_head(len(lists)), *(_packed(words) if words else _EMPTY for words in lists)))


def _packed(given: Sequence[Word]) -> bytes:
    """Fast code: a commit has thousands of short words."""
    words = [word if type(word) is bytes else word.encode() for word in given]  # type: ignore[union-attr]
    heads: Iterable[bytes] = map(_HEADS.__getitem__, map(len, words))
    try:
        joined = b"".join(chain.from_iterable(zip(heads, words, strict=True)))
    except IndexError:  # a word is longer
        heads = [_STR_32 + struct.pack(">I", len(word)) for word in words]
        joined = b"".join(chain.from_iterable(zip(heads, words, strict=True)))
    return _head(len(words)) + joined


def _head(size: int) -> bytes:
    return _ARRAY_32 + struct.pack(">I", size)
