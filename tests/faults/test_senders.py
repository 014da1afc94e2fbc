"""Senders tell what is certain from what is not, and retry by key until they know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.ledger import Ledger, Sent
from support.scripted import HANG_UP, OK, Answer, later, no, scripted
from support.senders import Style, Wire

SENT = Sent("car-1", 0, 1)
DUPLICATE = Answer(200, {"success": True, "duplicate": True})
FULL = Answer(503, {"success": False, "error": {"code": "backlog_full", "message": "full"}})


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    kept = Ledger(tmp_path / "ledger.jsonl")
    yield kept
    kept.close()


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (OK, "ok"),
        (DUPLICATE, "dup"),
        (no(422, "not_a_number"), "refused"),
        (FULL, "refused"),
        (later(), "maybe"),  # the reply to append may have been lost
        (Answer(HANG_UP), "maybe"),
    ],
)
def test_one_attempt_tells_what_is_certain(ledger: Ledger, answer: Answer, outcome: str):
    with scripted(answer) as script:
        wire = Wire(script.url, ledger, Style())
        assert wire.send(SENT) == outcome
        wire.close()
    assert ledger.counts == {outcome: 2}


def test_nobody_listening_is_certain(ledger: Ledger):
    with scripted(OK) as script:
        url = script.url
    assert Wire(url, ledger, Style()).send(SENT) == "refused"


def test_a_key_is_kept_until_there_is_an_answer(ledger: Ledger):
    with scripted(later(), Answer(HANG_UP), FULL, DUPLICATE) as script:
        wire = Wire(script.url, ledger, Style(is_keyed=True))
        assert wire.send(SENT) == "dup"
        wire.close()
    assert len(script.requests) == 4
    assert len({asked.headers["Idempotency-Key"] for asked in script.requests}) == 1
    assert ledger.acknowledged == 2


def test_a_refusal_after_a_doubt_leaves_the_doubt(ledger: Ledger):
    with scripted(Answer(HANG_UP), no(422, "too_old")) as script:
        wire = Wire(script.url, ledger, Style(is_keyed=True))
        assert wire.send(SENT) == "maybe"
        wire.close()
