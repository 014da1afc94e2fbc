"""Scanning frames finds the same readings as unpacking them, or leaves them to it."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator import decode
from aggregator.scan import name, scan
from tributary.model.frame import Block, pack

TIME_MS = 1_763_800_000_000
texts = st.sampled_from(["d", "car-7", "x" * 31, "x" * 32, "y" * 128, "é" * 20, "\0", ""])
plain = st.builds(
    lambda device, more_ms, metric, value: Block(device, TIME_MS + more_ms, {metric: value}),
    texts,
    st.integers(0, 10**9),
    texts,
    st.floats(allow_nan=False, allow_infinity=False),
)
frames = st.lists(st.lists(plain, min_size=1, max_size=3).map(pack), min_size=1, max_size=3)
other = (
    Block("d", TIME_MS, {"m": 1.0, "k": 2.0}),
    Block("d", TIME_MS, {}),
    Block("d", 5, {"m": 1.0}),
    Block("d" * 300, TIME_MS, {"m": 1.0}),
    Block("d", b"\0" * 8, {"m": b"\0" * 8}),
)


def entries(packed: list[bytes]) -> list[decode.Entry]:
    return [(b"1-1", [b"e", b"1", b"n", b"1", b"r", frame]) for frame in packed]


@given(frames)
def test_finds_what_unpacking_finds(packed: list[bytes]):
    many = packed * 48  # fewer frames are unpacked
    found, columns = scan(many), decode.decode(entries(many))
    assert found is not None
    assert found.names == [name(*series) for series in columns.series]
    assert found.times_ms.tolist() == columns.times_ms.tolist()
    assert found.values.tolist() == columns.values.tolist()


def test_leaves_everything_else_to_unpacking():
    one = pack([Block("d", TIME_MS, {"m": 1.0})])
    assert scan([one] * 60) is not None
    assert scan([one] * 40) is None
    for block in other:
        for position in (0, 30, 60):
            packed = [one] * 60
            packed.insert(position, pack([block]))
            assert scan(packed) is None
    assert scan([one] * 60 + [pack([Block("d", TIME_MS, {"m": 1.0})] * 20)]) is None
    assert scan([one] * 60 + [pack([])]) is None


@pytest.mark.parametrize("seed", range(4))
def test_damaged_frames_are_left_to_unpacking_or_read_alike(seed: int):
    random, one = Random(seed), pack([Block("car-7", TIME_MS, {"temperature": 92.25})])
    for _ in range(300):
        damaged = bytearray(one)
        for _ in range(random.randint(1, 3)):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        cut = bytes(damaged[: random.choice([len(damaged), random.randrange(len(damaged))])])
        found = scan([one] * 60 + [cut])
        if found is None or found.times_ms[-1] < 0:  # beyond 2 ** 63, rejected as out of range
            continue
        if found.names[-1] == name("car-7", "temperature"):
            (block,) = decode.frame.unpack(cut)
            assert block[:2] == ("car-7", found.times_ms[-1])
            assert list(block[2].values()) == pytest.approx([found.values[-1]], nan_ok=True)
