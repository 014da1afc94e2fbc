"""The numbers of entries, where some of them are damaged. Pure.

A seal covers a frame, but not the numbers that append gives it: of the entry (e), and of its last
reading (n). These are redundant: both continue those of the entry before, e by one and n by the
readings in the frame. Where entries are missing there is a gap, from which the following entries
continue. Numbers that do neither are damaged; the right ones follow from the neighbours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from loguru import logger

from aggregator import decode
from aggregator.decode import Entry
from tributary.errors import BadFrame
from tributary.model import frame
from tributary.store import tombstone

_NAMES = [b"e", b"n"]  # of the first two fields; that of the third is the version of the frame

Place = tuple[int, int]  # numbers of an entry and of its last reading


class _Claim(NamedTuple):
    """What an entry says about its place."""

    place: Place | None  # None: one of the numbers is not a number
    readings: int | None  # in its frame; None: it cannot be decoded
    is_ours: bool  # whether append or forget wrote it, whatever its numbers are


def numbers(fields: list[bytes]) -> Place | None:
    """The numbers of an entry and of its last reading; None if append did not write it."""
    return _place(fields) if fields[0:3:2] == _NAMES and len(fields) >= 6 else None


def are_plain(entries: Sequence[Entry], after: Place) -> bool:
    """Whether entries have the numbers behind a place, as far as their frames need not be decoded."""
    number, reading = after
    for _, fields in entries:
        found = numbers(fields)
        if found is None or found[0] != number + 1 or found[1] < reading:
            return False
        number, reading = found
    return True


def repaired(entries: Sequence[Entry], after: Place) -> list[Entry]:
    """The entries behind a place, with numbers that follow from the others where they are damaged.

    Where nothing follows an entry, a single number that does not fit is taken as damaged, unless
    tombstones may be missing before it. If none are, what follows sets the count back.
    """
    claims = [*map(_claim, entries)]
    found: list[Entry] = []
    place = after
    for at, (entry, claim) in enumerate(zip(entries, claims, strict=True)):
        claimed = used = claim.place
        if claim.is_ours and claim.readings is not None:
            derived = place[0] + 1, place[1] + claim.readings
            used = claimed if claimed == derived else _likely(claims, at, place, derived)
        is_damaged = claim.is_ours and used is not None and used != numbers(entry[1])
        found.append(_renumbered(entry, used) if is_damaged and used else entry)
        place = _behind(place, claim, used)
    return found


def _likely(claims: list[_Claim], at: int, place: Place, derived: Place) -> Place | None:
    """The place of an entry that does not follow the one before it."""
    claim = claims[at]
    votes = Counter((derived, claim.place, *_implied(claims[at + 1 : at + 3])))
    likely, count = votes.most_common(1)[0]
    if count > 1:
        return likely
    return claim.place if _is_possible(claim, place) else derived


def _implied(following: list[_Claim]) -> Iterator[Place]:
    """The place before each of these claims, if they follow each other."""
    entries = readings = 0
    for claim in following:
        if claim.place is None or claim.readings is None:
            return
        entries, readings = entries + 1, readings + claim.readings
        yield claim.place[0] - entries, claim.place[1] - readings


def _claim(entry: Entry) -> _Claim:
    fields = entry[1]
    if len(fields) < 6:
        return _Claim(None, None, is_ours=False)
    place, names = _place(fields), fields[0:5:2]
    if names == tombstone.NAMES:
        return _Claim(place, 0, is_ours=True)
    is_ours = names[:2] == _NAMES or (names[2] == frame.FIELD and frame.is_sealed(fields[5]))
    try:
        return _Claim(place, decode.unpack(entry)[1], is_ours)
    except BadFrame:
        return _Claim(place, None, is_ours)


def _is_possible(claim: _Claim, place: Place) -> bool:
    """Whether something is missing before an entry, or it was applied before.

    Tombstones have no readings, so that entries can be missing without any.
    """
    if claim.place is None or claim.readings is None:
        return False
    number, reading = claim.place
    if number <= place[0]:
        return reading <= place[1]
    return number > place[0] + 1 and reading >= place[1] + claim.readings


def _behind(place: Place, claim: _Claim, used: Place | None) -> Place:
    """The place behind an entry that is at another one."""
    if not claim.is_ours or used is None:
        return place
    if claim.readings is None:  # damaged already, so its numbers hardly are
        return max(place[0], used[0]), max(place[1], used[1])
    return used


def _renumbered(entry: Entry, place: Place) -> Entry:
    id_, fields = entry
    number, reading = (b"%d" % each for each in place)
    logger.bind(action="renumbered", entry=id_.decode(), damaged=repr(fields[:4])).warning(
        "an entry has damaged numbers; those that follow from its neighbours are used"
    )
    return id_, [b"e", number, b"n", reading, *fields[4:]]


def _place(fields: list[bytes]) -> Place | None:
    number, reading = fields[1:4:2]
    return (int(number), int(reading)) if number.isdigit() and reading.isdigit() else None
