"""Entries of a stream, sorted out for the history."""

from __future__ import annotations

from jobs import piece
from tributary.history.position import Position
from tributary.model.frame import Block, pack

NOW_MS = 1_795_000_000_000


def test_numbers_that_were_issued_before_count_again():
    """Redis has lost entries that are in the history, and issues their numbers again."""
    packed = pack([Block("d", NOW_MS, {"m": 1.0})])

    def entry(id_: int, e: int) -> tuple[bytes, list[bytes]]:
        return b"%d-0" % id_, [b"e", b"%d" % e, b"n", b"%d" % e, b"r", packed]

    after = Position("100-0", 20, 20)
    cases = [  # numbers that survived the restart, those read: entries missing in between
        ((15, 15), [16, 17], 0),
        ((15, 15), [18, 19], 2),
        ((0, 0), [21, 22], 0),
        ((0, 0), [23], 2),
        ((18, 18), [16, 17, 18, 19], 0),
    ]
    for survived, numbers, missing in cases:
        entries = [entry(101 + n, number) for n, number in enumerate(numbers)]
        found = piece.sort_out(entries, after, buried={}, survived=piece.Numbers(*survived))
        assert found.readings == len(numbers)
        assert sum(gap.entries for gap in found.gaps) == missing, (survived, numbers)
        assert found.position[1:] == (numbers[-1], numbers[-1])
