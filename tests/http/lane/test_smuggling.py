"""Nothing that two servers might read differently is taken, and nothing behind it is executed."""

from __future__ import annotations

import itertools

import pytest
from support.raw import connected, post

from lane.conftest import Watched
from lane.corpus import CORPUS, LAST, PASSED, Case, filled

NORMAL = {"/record": 200, "/collect": 200, "/healthz": 405}
_SHORT_BYTES = 110
_NOT_LONG_BYTES = 4096
_SMUGGLED = post("smuggled", "Connection: close")


def expected(case: Case, target: str) -> tuple[list[int], list[str]]:
    """The answers, and the devices that are recorded by them."""
    if case.outcome not in (PASSED, LAST):
        return [case.outcome], []
    statuses = [NORMAL[target]]
    recorded = ["first"] if target == "/record" else []
    if case.outcome == PASSED:
        return [*statuses, 200], [*recorded, "smuggled"]
    return statuses, recorded


def statuses_of(watched: Watched, *pieces: bytes) -> list[int]:
    with connected(watched.url) as raw:
        for piece in pieces:
            raw.send(piece)
        return [answer.status for answer in raw.answers()]


@pytest.mark.parametrize("target", NORMAL)
@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
def test_what_is_ambiguous_is_refused_and_what_is_behind_it_not_taken(
    watched: Watched, case: Case, target: str
):
    raw = filled(case, target, "first") + _SMUGGLED
    statuses, recorded = expected(case, target)
    assert statuses_of(watched, raw) == statuses
    assert watched.recorded() == recorded


@pytest.mark.parametrize("target", NORMAL)
@pytest.mark.parametrize(
    "case",
    [case for case in CORPUS if len(case.raw) <= _NOT_LONG_BYTES],
    ids=lambda case: case.name,
)
def test_it_makes_no_difference_that_every_byte_comes_by_itself(
    watched: Watched, case: Case, target: str
):
    raw = filled(case, target, "first") + _SMUGGLED
    statuses, recorded = expected(case, target)
    assert statuses_of(watched, *(raw[at : at + 1] for at in range(len(raw)))) == statuses
    assert watched.recorded() == recorded


@pytest.mark.parametrize(
    "case",
    [case for case in CORPUS if len(filled(case, "/record", "first")) <= _SHORT_BYTES],
    ids=lambda case: case.name,
)
def test_it_makes_no_difference_where_the_bytes_are_split(watched: Watched, case: Case):
    raw = filled(case, "/record", "first") + _SMUGGLED
    statuses, recorded = expected(case, "/record")
    splits = range(1, len(raw))
    assert all(statuses_of(watched, raw[:at], raw[at:]) == statuses for at in splits)
    assert watched.recorded() == list(itertools.chain(*[recorded] * len(splits)))


def test_the_corpus_has_the_size_that_is_claimed():
    assert len(CORPUS) >= 60
    assert len({case.name for case in CORPUS}) == len(CORPUS)
