"""Scanning frames finds the same readings as unpacking them, or leaves them to it."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator import decode
from aggregator.scan import name, scan
from tributary.model.frame import Block, pack, pack_block

TIME_MS = 1_763_800_000_000
texts = st.sampled_from(["d", "car-7", "x" * 31, "x" * 32, "y" * 128, "é" * 20, "\0", ""])
plain = st.builds(
    lambda device, more_ms, metric, value: Block(device, TIME_MS + more_ms, {metric: value}),
    texts,
    st.integers(0, 10**9),
    texts,
    st.floats(allow_nan=False, allow_infinity=False),
)
blocks = st.lists(st.lists(plain, min_size=1, max_size=3), min_size=1, max_size=3)
other = (
    Block("d", TIME_MS, {"m": 1.0, "k": 2.0}),
    Block("d", TIME_MS, {}),
    Block("d", 5, {"m": 1.0}),
    Block("d" * 300, TIME_MS, {"m": 1.0}),
    Block("d", b"\0" * 8, {"m": b"\0" * 8}),
)


def entries(packed: list[bytes]) -> list[decode.Entry]:
    return [(b"1-1", [b"e", b"1", b"n", b"1", b"r", frame]) for frame in packed]


@given(blocks=blocks, is_sealed=st.booleans())
def test_finds_what_unpacking_finds(blocks: list[list[Block]], *, is_sealed: bool):
    many = list(map(pack if is_sealed else pack_block, blocks)) * 48  # fewer are unpacked
    found, columns = scan(many, is_sealed=is_sealed), decode.decode(entries(many))
    assert found is not None
    assert found.names == [name(*series) for series in columns.series]
    assert found.times_ms.tolist() == columns.times_ms.tolist()
    assert found.values.tolist() == columns.values.tolist()


@pytest.mark.parametrize("is_sealed", [True, False])
def test_leaves_everything_else_to_unpacking(*, is_sealed: bool):
    def scanned(frames: list[bytes]) -> bool:
        return scan(frames, is_sealed=is_sealed) is not None

    pack_ = pack if is_sealed else pack_block
    one = pack_([Block("d", TIME_MS, {"m": 1.0})])
    assert scanned([one] * 60)
    assert not scanned([one] * 40)
    for block in other:
        for position in (0, 30, 60):
            packed = [one] * 60
            packed.insert(position, pack_([block]))
            assert not scanned(packed)
    assert not scanned([one] * 60 + [pack_([Block("d", TIME_MS, {"m": 1.0})] * 20)])
    assert not scanned([one] * 60 + [pack_([])])


def test_sealed_frames_and_others_are_read_together():
    blocks = [Block("d", TIME_MS, {"m": 1.0})]
    both = entries([pack(blocks), pack_block(blocks)] * 30)
    assert decode.decode(both).readings == 60


@pytest.mark.parametrize("seed", range(4))
def test_damaged_frames_are_left_to_unpacking_or_read_alike(seed: int):
    random, one = Random(seed), pack_block([Block("car-7", TIME_MS, {"temperature": 92.25})])
    for _ in range(300):
        damaged = bytearray(one)
        for _ in range(random.randint(1, 3)):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        cut = bytes(damaged[: random.choice([len(damaged), random.randrange(len(damaged))])])
        found = scan([one] * 60 + [cut], is_sealed=False)
        if found is None or found.times_ms[-1] < 0:  # beyond 2 ** 63, rejected as out of range
            continue
        if found.names[-1] == name("car-7", "temperature"):
            (block,) = decode.frame.unpack(cut)
            assert block[:2] == ("car-7", found.times_ms[-1])
            assert list(block[2].values()) == pytest.approx([found.values[-1]], nan_ok=True)
