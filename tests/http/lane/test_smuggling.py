"""Requests that two servers might interpret differently are rejected, and what follows is not run."""

from __future__ import annotations

import itertools

import pytest
from support.raw import connected, post

from lane.conftest import Watched
from lane.corpus import CORPUS, LAST, PASSED, Case, filled

NORMAL = {"/record": 200, "/collect": 200, "/healthz": 405}
_SHORT_BYTES = 110
_MEDIUM_BYTES = 4096
_SMUGGLED = post("smuggled", "Connection: close")


def expected(case: Case, target: str) -> tuple[list[int], list[str]]:
    """The statuses, and the devices recorded."""
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
        return [response.status for response in raw.responses()]


@pytest.mark.parametrize("target", NORMAL)
@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
def test_rejects_ambiguous_requests_and_ignores_what_follows(
    watched: Watched, case: Case, target: str
):
    raw = filled(case, target, "first") + _SMUGGLED
    statuses, recorded = expected(case, target)
    assert statuses_of(watched, raw) == statuses
    assert watched.recorded() == recorded


@pytest.mark.parametrize("target", NORMAL)
@pytest.mark.parametrize(
    "case",
    [case for case in CORPUS if len(case.raw) <= _MEDIUM_BYTES],
    ids=lambda case: case.name,
)
def test_sending_single_bytes_makes_no_difference(watched: Watched, case: Case, target: str):
    raw = filled(case, target, "first") + _SMUGGLED
    statuses, recorded = expected(case, target)
    assert statuses_of(watched, *(raw[at : at + 1] for at in range(len(raw)))) == statuses
    assert watched.recorded() == recorded


@pytest.mark.parametrize(
    "case",
    [case for case in CORPUS if len(filled(case, "/record", "first")) <= _SHORT_BYTES],
    ids=lambda case: case.name,
)
def test_splitting_the_bytes_makes_no_difference(watched: Watched, case: Case):
    raw = filled(case, "/record", "first") + _SMUGGLED
    statuses, recorded = expected(case, "/record")
    splits = range(1, len(raw))
    assert all(statuses_of(watched, raw[:at], raw[at:]) == statuses for at in splits)
    assert watched.recorded() == list(itertools.chain(*[recorded] * len(splits)))


def test_the_corpus_has_the_documented_size():
    assert len(CORPUS) >= 60
    assert len({case.name for case in CORPUS}) == len(CORPUS)
