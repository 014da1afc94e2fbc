"""A damaged entry is buried or its numbers follow from its neighbours; every count is exact."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from aggregator import account, decode
from aggregator.account import Counts
from aggregator.decode import Entry
from aggregator.numbering import numbers, repaired
from tributary.errors import BadFrame
from tributary.model.frame import Block, pack, pack_block

BEFORE = Counts(hwm="9-0", done_entries=173, done=1_999, applied=1_999)
SIZES = (1, 2, 1, 3, 1)  # readings of the entries behind it


def entries(*sizes: int, first: int = 174, reading: int = 1_999) -> list[Entry]:
    found: list[Entry] = []
    for number, size in enumerate(sizes, first):
        reading += size
        blocks = [Block(f"d{number}", 1_000 + n, {"m": float(number)}) for n in range(size)]
        packed = pack(blocks)
        fields = [b"e", b"%d" % number, b"n", b"%d" % reading, b"r", packed]
        found.append((b"%d-0" % number, fields))
    return found


def flipped(entry: Entry) -> Iterator[tuple[int, Entry]]:
    """The entry with each of its bits flipped; the field that is damaged."""
    id_, fields = entry
    for at, field in enumerate(fields):
        for bit in range(8 * len(field)):
            damaged = bytearray(field)
            damaged[bit // 8] ^= 1 << bit % 8
            yield at, (id_, [*fields[:at], bytes(damaged), *fields[at + 1 :]])


def applied(reads: list[list[Entry]]) -> tuple[Counts, dict[tuple[str, float], int], list[bytes]]:
    """Counts, applied values and buried entries after these reads."""
    counts, values, dead = BEFORE, dict[tuple[str, float], int](), list[bytes]()
    for read in reads:
        left = read
        while left:
            found = account.sort_out(left, counts)
            counts, left = found.counts, left[len(found.ids) :]
            dead += [each.id for each in found.dead]
            if found.columns is not None:
                at = 0
                for (device, _), repeats in zip(
                    found.columns.series, found.columns.repeats, strict=True
                ):
                    value = float(found.columns.values[at])
                    values[device, value] = values.get((device, value), 0) + int(repeats)
                    at += int(repeats)
    return counts, values, dead


@pytest.mark.parametrize("place", range(len(SIZES)))
@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_each_flipped_bit_is_buried_or_repaired(place: int, at_once: int):
    whole = entries(*SIZES, 1, 1)
    everything = applied([whole])[1]
    without = {name: n for name, n in everything.items() if name[0] != f"d{174 + place}"}
    for field, damaged in flipped(whole[place]):
        stream = [*whole[:place], damaged, *whole[place + 1 : -2]]
        reads = [stream[at : at + at_once] for at in range(0, len(stream), at_once)]
        # Until two entries are read at once, a number may look like missing tombstones.
        counts, values, dead = applied(reads)
        assert (counts.done, counts.lost, counts.foreign) == (2_007, 0, 0), (field, damaged)
        assert counts.lost_entries == counts.done_entries - 178 >= 0, (field, damaged)
        counts, values, dead = applied([*reads, whole[-2:]])
        assert (counts.done_entries, counts.done) == (180, 2_009), (field, damaged)
        assert (counts.lost, counts.lost_entries, counts.foreign) == (0, 0, 0), (field, damaged)
        if field < 4:
            assert (values, dead, counts.dead) == (everything, [], 0), (field, damaged)
        else:
            assert (values, dead) == (without, [damaged[0]]), (field, damaged)
            assert (counts.dead, counts.dead_entries) == (SIZES[place], 1)
        assert counts.applied + counts.dead == 2_009


@pytest.mark.parametrize("place", range(1, len(SIZES)))
def test_damaged_numbers_behind_a_gap_change_no_count(place: int):
    whole = entries(*SIZES, 1, 1)
    for field, damaged in flipped(whole[place]):
        if field < 4:
            stream = [*whole[1:place], damaged, *whole[place + 1 : -2]]  # the first one is missing
            counts, values, dead = applied([stream, whole[-2:]])
            assert (counts.lost, counts.lost_entries, dead) == (1, 1, []), damaged
            assert (counts.applied, sum(values.values())) == (1_999 + 9, 9), damaged
            assert (counts.done_entries, counts.done) == (180, 2_009), damaged


def test_gaps_and_entries_applied_before_are_as_they_are():
    old, new = entries(1, 2, first=172, reading=1_996), entries(*SIZES)
    for stream in (new, old + new, new[2:], [new[0], *new[2:]], new[:1], new[-1:]):
        assert repaired(stream, (173, 1_999)) == stream


@pytest.mark.parametrize("at_once", [1, 2])
def test_trimmed_tombstones_are_a_gap_without_readings(at_once: int):
    behind = entries(1, 1, first=176)
    assert repaired(behind[:at_once], (173, 1_999)) == behind[:at_once]
    counts = applied([behind[at : at + at_once] for at in range(0, 2, at_once)])[0]
    assert (counts.done_entries, counts.done) == (177, 2_001)
    assert (counts.lost_entries, counts.lost) == (2, 0)


def test_an_entry_of_another_version_is_buried_with_the_release_it_needs():
    id_, fields = entries(2)[0]
    counts = applied([[(id_, [*fields[:4], b"r@0.4.0", b"?"])]])[0]
    assert (counts.dead, counts.lost, counts.foreign) == (2, 0, 0)
    with pytest.raises(BadFrame, match=r"0\.4\.0"):
        decode.unpack((id_, [*fields[:4], b"r@0.4.0", b"?"]))


def test_other_damage_is_found():
    random, whole = Random(1), pack([Block("car-7", 1_000, {"m": 92.25})])
    for _ in range(20_000):
        at, size = random.randrange(len(whole)), random.randint(1, 9)
        for put in (random.randbytes(size), b"", bytes(size)):
            damaged = whole[:at] + put + whole[at + size :]
            if damaged != whole:
                with pytest.raises(BadFrame):
                    decode.unpack((b"1-0", [b"e", b"1", b"n", b"1", b"r", damaged]))


def test_frames_of_earlier_releases_are_counted_alike():
    blocks = [Block("d", 1_000, {"m": 1.0})]
    fields = [b"e", b"174", b"n", b"2000", b"r", pack_block(blocks)]
    counts = applied([[(b"174-0", fields)]])[0]
    assert (counts.applied, numbers(fields)) == (2_000, (174, 2_000))
