"""Damaged files of Redis: the server refuses them, or the rest is exact."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults import corruption
from faults.corruption import DAMAGES, EQUAL, REFUSED, REPORTED, SHORTER, Damage, Original

SAFE = {
    # The snapshot has a checksum, the append-only file has none: seals and the audit find the rest.
    "a bit flipped": {REFUSED, EQUAL, SHORTER, REPORTED},
    "some bytes cut out": {REFUSED, SHORTER},  # at the end of the file
    "end cut off": {REFUSED, SHORTER, EQUAL},
    "a block of zeros": {REFUSED, SHORTER},
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Original]:
    return Original(tmp_path_factory.mktemp("corruption"), 1)


@pytest.mark.parametrize("damage", DAMAGES, ids=str)
def test_no_answer_is_wrong(original: Original, tmp_path: Path, damage: Damage):
    chance = random.Random(7)
    for _ in range(12 if damage == DAMAGES[0] else 2):
        assert corruption.outcome(original, tmp_path, damage, chance) in SAFE[damage.kind]
