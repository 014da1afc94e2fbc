"""Frames: a damaged one is never read, and what a release cannot read is refused by name."""

from __future__ import annotations

import struct
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tributary.errors import BadFrame
from tributary.model import frame
from tributary.model.frame import RawBlock


def column(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


TIMES = struct.pack("<2q", 1_763_800_000_000, 1_763_800_000_500)
FRAMES: dict[str, list[RawBlock]] = {
    "a reading": [("car-7", 1_763_800_000_000, {"engine_temperature": 92.3})],
    "readings": [("d", 5, {"m": 1.0}), ("e", 6, {"m": 1.0, "k": 2.0})],
    "a column": [("d", TIMES, {"m": column(3, 4)})],
    "devices": [("d", 5, {"m": 1.0}), (["d", "e"], TIMES, {"m": column(3, 4)})],
    # Its end, and that of the other, look like the end of a seal.
    "an odd value": [("d", 5, {"m": struct.unpack(">d", b"\x40\x57\x13\x33\x33\x33\xc4\x00")[0]})],
    "an odd column": [("d", TIMES, {"m": column(3) + b"\x93\xa0\xc4\x00\x81\xa6\xc4\x00"})],
}
some = pytest.mark.parametrize("blocks", FRAMES.values(), ids=FRAMES)


@some
def test_is_read_with_a_seal_and_without(blocks: list[RawBlock]):
    sealed, former = frame.pack(blocks), frame.pack_block(blocks)
    assert len(sealed) == len(former) + frame.SEAL_BYTES
    assert (frame.is_sealed(sealed), frame.is_sealed(former)) == (True, False)
    assert frame.unpack(sealed) == frame.unpack(former) == blocks
    assert frame.unpack_all([sealed, sealed], is_sealed=True) == [*blocks, *blocks]
    assert frame.unpack_all([former, former], is_sealed=False) == [*blocks, *blocks]
    assert frame.unpack_all([sealed, former], is_sealed=None) == [*blocks, *blocks]
    many = 20 * blocks  # with a longer head
    both = frame.unpack_all([frame.pack(many), sealed], is_sealed=True)
    assert both == [*many, *blocks]


@some
def test_every_flipped_bit_is_found(blocks: list[RawBlock]):
    packed = frame.pack(blocks)
    for bit in range(8 * len(packed)):
        damaged = bytearray(packed)
        damaged[bit // 8] ^= 1 << bit % 8
        assert frame.are_sealed([packed, bytes(damaged)]) is None
        with pytest.raises(BadFrame):
            frame.unpack(bytes(damaged))


@given(st.binary(max_size=300))
def test_the_checksum_of_a_sealed_frame_is_constant(value: bytes):
    packed = frame.pack([("d", value, {"m": value})])
    assert crc32(packed) == frame.SEALED_CRC
    packed[-8:-2].decode("ascii")  # releases that do not know seals read a text


def test_frames_with_and_without_seals_are_told_apart():
    sealed = frame.pack(FRAMES["a reading"])
    former = frame.pack_block(FRAMES["a reading"])
    assert frame.are_sealed([sealed, sealed]) is True
    assert frame.are_sealed([former, former]) is False
    assert frame.are_sealed([sealed, former]) is None


@pytest.mark.parametrize("times", [1, 20])
def test_a_frame_without_a_seal_is_not_read_as_one_with_a_seal(times: int):
    former = frame.pack_block(times * FRAMES["a column"])
    with pytest.raises(BadFrame):
        frame.unpack_all([former], is_sealed=True)  # as if it had the checksum by chance


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        (b"r@0.4.0", r"needs release 0\.4\.0 or later; upgrade, then replay"),
        (b"q", "field b'q': damaged, or of a later release"),
    ],
)
def test_a_frame_of_another_version_is_refused(field: bytes, reason: str):
    frame.require_known(b"r")
    with pytest.raises(BadFrame, match=reason):
        frame.require_known(field)
