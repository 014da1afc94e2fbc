"""Readings ⇄ the bytes of one stream entry.

A frame is a msgpack array of blocks `[device, recorded_at, {metric: value}]`.
A block is one reading: a string, UTC milliseconds and float64 values. Or it is a column of
readings: `recorded_at` and each value are then packed arrays (int64 and float64, little
endian) of one length, and `device` may be an array of the same length. So a thousand
samples in one request cost the aggregator one lookup per series instead of a thousand.

The last block is the seal, a column of no readings: `["", b"", {text: b""}]`. Its text makes the
CRC-32 of the whole frame a constant, so one call per frame verifies it, and releases that do not
know seals read no readings in it. They also write frames without one, which cannot be verified.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import itemgetter
from zlib import crc32

import msgspec

from tributary.errors import BadFrame


class Block(msgspec.Struct, array_like=True, gc=False):
    """One reading, or a column of readings of the same metrics."""

    device: str | list[str]
    recorded_at_ms: int | bytes
    metrics: dict[str, float | bytes]


RawBlock = tuple[str | list[str], int | bytes, dict[str, float | bytes]]

# The field of the entry that contains the frame is the version of the frame. One of a version that
# this release cannot read is in a field that names the first release that can, as `r@0.4.0`.
FIELD = b"r"
_OF_RELEASE = FIELD + b"@"

pack_block = msgspec.msgpack.Encoder().encode
_unpack_one = msgspec.msgpack.Decoder(list[RawBlock]).decode
_unpack_many = msgspec.msgpack.Decoder(list[list[RawBlock]]).decode
_ARRAY, _ARRAY_MAX = 0x90, 0x9F  # first byte of an array of 0 to 15 blocks

SEALED_CRC = 0x54524942  # of every frame with a valid seal
_DIGITS = 6  # of the text; each has six bits, as the characters from @ on
_HEAD, _END = b"\x93\xa0\xc4\x00\x81\xa6", b"\xc4\x00"
_TAIL = b"@" * _DIGITS + _END  # the text is blank
_DAMAGED = "damaged: the frame does not match its checksum"
_BLANK = msgspec.Raw(pack_block(Block("", b"", {"@" * _DIGITS: b""})))
_TAIL_BYTES = len(_TAIL)
_LONG_BYTES = 4_096
SEAL_BYTES = len(_HEAD) + _TAIL_BYTES
_first, _body, _seal = itemgetter(0), itemgetter(slice(1, -SEAL_BYTES)), itemgetter(0, 1)


def _tails() -> tuple[list[int], ...]:
    """What the end of a frame must be, as a number, for 11, 11 and 10 bits of its CRC when blank.

    A CRC is linear: each bit of the text changes it by a constant, whatever is before. So a few
    of these changes, combined, make it any other one. The three parts are combined with xor.
    """
    blank = int.from_bytes(_TAIL, "little")
    basis: dict[int, tuple[int, int]] = {}  # by highest bit: change of the CRC, bits of the text
    for bit in (8 * digit + low for digit in range(_DIGITS) for low in range(6)):
        bits = 1 << bit
        change = crc32((blank ^ bits).to_bytes(len(_TAIL), "little")) ^ crc32(_TAIL)
        while change and (other := basis.get(change.bit_length())):
            change, bits = change ^ other[0], bits ^ other[1]
        if change:
            basis[change.bit_length()] = change, bits

    def bits_for(change: int) -> int:
        found = 0
        while change:
            step, bits = basis[change.bit_length()]
            change, found = change ^ step, found ^ bits
        return found

    parts: list[list[int]] = []
    for part in (range(11), range(11, 22), range(22, 32)):
        found = [0] if parts else [bits_for(SEALED_CRC) ^ blank]
        for bit in part:
            step = bits_for(1 << bit)
            found += [bits ^ step for bits in found]
        parts.append(found)
    return tuple(parts)


_LOW, _MIDDLE, _HIGH = _tails()


def pack(blocks: Iterable[Block | RawBlock | msgspec.Raw]) -> bytes:
    """A frame of blocks, sealed. Fast code: of every flush."""
    packed = pack_block([*blocks, _BLANK])
    crc = crc32(packed)
    tail = _LOW[crc & 2047] ^ _MIDDLE[crc >> 11 & 2047] ^ _HIGH[crc >> 22]
    end = tail.to_bytes(_TAIL_BYTES, "little")
    if len(packed) < _LONG_BYTES:
        return packed[:-_TAIL_BYTES] + end
    return b"".join((memoryview(packed)[:-_TAIL_BYTES], end))  # copied once


def are_sealed(frames: Sequence[bytes]) -> bool | None:
    """Whether all frames have valid seals; None: some of them have, or one may be damaged."""
    crcs = set(map(crc32, frames))
    if crcs == {SEALED_CRC}:
        return True
    return None if SEALED_CRC in crcs or any(map(_may_have_seal, frames)) else False


def is_sealed(frame: bytes) -> bool:
    """Whether a frame has a valid seal."""
    return crc32(frame) == SEALED_CRC and frame.startswith(_HEAD, -SEAL_BYTES)


def require_known(field: bytes) -> None:
    """Raise unless this release reads the frame in a field.

    Raises:
        BadFrame: the reason, and which release is needed, as far as it is known.
    """
    if field.startswith(_OF_RELEASE):
        release = field.removeprefix(_OF_RELEASE).decode(errors="replace")
        raise BadFrame(
            f"the frame needs release {release} or later; upgrade, then replay the entry"
        )
    if field != FIELD:
        raise BadFrame(f"the frame is in field {field!r}: damaged, or of a later release")


def unpack(frame: bytes) -> list[RawBlock]:
    """The blocks of one frame, without its seal.

    Raises:
        BadFrame: the bytes are not a frame, or differ from what was sealed.
    """
    try:
        blocks = _unpack_one(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        if frame.startswith(_HEAD, -SEAL_BYTES) and not is_sealed(frame):
            raise BadFrame(_DAMAGED) from error
        raise BadFrame(f"not a frame: {error}") from error
    if is_sealed(frame):
        del blocks[-1]
    # Ingest writes neither a column of no readings nor a device without a name.
    elif blocks and not (blocks[-1][0] and _length(blocks[-1])):
        raise BadFrame(_DAMAGED)
    return blocks


def unpack_all(frames: list[bytes], *, is_sealed: bool | None) -> list[RawBlock]:
    """The blocks of many frames, without seals, decoded in one call unless some are sealed only.

    `is_sealed`: what `are_sealed` has found.

    Raises:
        BadFrame: at least one of them is not a frame; `unpack` finds out which.
    """
    if is_sealed is None:
        return list(chain.from_iterable(map(unpack, frames)))
    try:
        if is_sealed and (sizes := bytes(map(_first, frames))) and max(sizes) <= _ARRAY_MAX:
            # Verified, so they can be cut: decoding a seal takes longer than a plain reading.
            blocks = sum(sizes) - (_ARRAY + 1) * len(frames)
            return _unpack_one(b"".join((_head(blocks), *map(_body, frames))))
        found = _unpack_many(b"".join((_head(len(frames)), *frames)))
    except (msgspec.MsgspecError, UnicodeDecodeError, OverflowError) as error:
        raise BadFrame(f"one of {len(frames)} frames is not a frame: {error}") from error
    if is_sealed and set(map(_seal, map(list.pop, found))) != {("", b"")}:
        raise BadFrame("a frame without a seal has the checksum of one with a seal")
    return list(chain.from_iterable(found))


def _head(size: int) -> bytes:
    """The beginning of an array of any size."""
    return b"\xdd" + size.to_bytes(4, "big")


def readings_in(blocks: Iterable[Block | RawBlock]) -> int:
    """The number of readings in the blocks."""
    return sum(_length(block) for block in blocks)


def _may_have_seal(frame: bytes) -> bool:
    """Whether there is a seal, of which a part may be damaged; a value may look like one."""
    return frame.endswith(_END) or frame.startswith(_HEAD, -SEAL_BYTES)


def _length(block: Block | RawBlock) -> int:
    recorded_at_ms = block.recorded_at_ms if isinstance(block, Block) else block[1]
    return len(recorded_at_ms) // 8 if isinstance(recorded_at_ms, bytes) else 1
