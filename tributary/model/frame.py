"""Readings ⇄ the bytes of one stream entry.

A frame is a msgpack array of blocks `[device, recorded_at, {metric: value}]`.
A block is one reading: a string, UTC milliseconds and float64 values. Or it is a column of
readings: `recorded_at` and each value are then packed arrays (int64 and float64, little
endian) of one length, and `device` may be an array of the same length. So a thousand
samples in one request cost the aggregator one lookup per series instead of a thousand.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tributary.errors import BadFrame


class Block(msgspec.Struct, array_like=True, gc=False):
    """One reading, or a column of readings of the same metrics."""

    device: str | list[str]
    recorded_at_ms: int | bytes
    metrics: dict[str, float | bytes]


RawBlock = tuple[str | list[str], int | bytes, dict[str, float | bytes]]

pack = msgspec.msgpack.Encoder().encode
_unpack_one = msgspec.msgpack.Decoder(list[RawBlock]).decode
_unpack_many = msgspec.msgpack.Decoder(list[list[RawBlock]]).decode
_ARRAY_32 = b"\xdd"


def unpack(frame: bytes) -> list[RawBlock]:
    """The blocks of one frame.

    Raises:
        BadFrame: the bytes are not a frame.
    """
    try:
        return _unpack_one(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadFrame(f"not a frame: {error}") from error


def unpack_all(frames: list[bytes]) -> list[list[RawBlock]]:
    """The blocks of many frames, decoded in one call.

    Raises:
        BadFrame: at least one of them is not a frame; `unpack` finds out which.
    """
    try:
        return _unpack_many(b"".join((_ARRAY_32, len(frames).to_bytes(4, "big"), *frames)))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadFrame(f"one of {len(frames)} frames is not a frame: {error}") from error


def readings_in(blocks: Iterable[Block | RawBlock]) -> int:
    """The number of readings in the blocks."""
    return sum(_length(block) for block in blocks)


def _length(block: Block | RawBlock) -> int:
    recorded_at_ms = block.recorded_at_ms if isinstance(block, Block) else block[1]
    return len(recorded_at_ms) // 8 if isinstance(recorded_at_ms, bytes) else 1
