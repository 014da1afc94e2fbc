"""Lists of words as one argument of a script: a MessagePack array of arrays of strings.

Each argument of a command costs Redis several allocations, which together take longer than writing
it. Strings here are any bytes, as in MessagePack before it had a type for them, because the decoder
of Redis (`cmsgpack`) has no other: https://redis.io/docs/latest/develop/programmability/lua-api/.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import chain

Word = str | bytes
_STR_16, _STR_32, _ARRAY_32, _EMPTY = b"\xda", b"\xdb", b"\xdd", b"\x90"


class _Heads(dict[int, bytes]):
    """Of words, by their length; those of long ones are not kept."""

    def __missing__(self, size: int) -> bytes:
        return _STR_32 + struct.pack(">I", size)


_HEADS = _Heads({size: _STR_16 + struct.pack(">H", size) for size in range(4_096)})


def pack(lists: Sequence[Sequence[Word]]) -> bytes:
    """Pack lists; `cmsgpack.unpack` in a script is the reverse."""
    return b"".join((_head(len(lists)), *(_packed(words) if words else _EMPTY for words in lists)))


def _packed(given: Sequence[Word]) -> bytes:
    """Fast code: a commit has thousands of short words."""
    words = [word if type(word) is bytes else word.encode() for word in given]  # type: ignore[union-attr]
    heads = map(_HEADS.__getitem__, map(len, words))
    return _head(len(words)) + b"".join(chain.from_iterable(zip(heads, words, strict=True)))


def _head(size: int) -> bytes:
    return _ARRAY_32 + struct.pack(">I", size)
