"""Senders classify responses by certainty, and retry with the same key until one is certain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.ledger import Ledger, Sent
from support.scripted import HANG_UP, OK, Response, later, no, scripted
from support.senders import Style, Wire

SENT = Sent("car-1", 0, 1)
DUPLICATE = Response(200, {"success": True, "duplicate": True})
FULL = Response(503, {"success": False, "error": {"code": "backlog_full", "message": "full"}})


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    kept = Ledger(tmp_path / "ledger.jsonl")
    yield kept
    kept.close()


@pytest.mark.parametrize(
    ("response", "outcome"),
    [
        (OK, "ok"),
        (DUPLICATE, "dup"),
        (no(422, "not_a_number"), "refused"),
        (FULL, "refused"),
        (later(), "maybe"),  # the reply of append may have been lost
        (Response(HANG_UP), "maybe"),
    ],
)
def test_classifies_each_response_by_certainty(ledger: Ledger, response: Response, outcome: str):
    with scripted(response) as script:
        wire = Wire(script.url, ledger, Style())
        assert wire.send(SENT) == outcome
        wire.close()
    assert ledger.counts == {outcome: 2}


def test_a_refused_connection_is_certain(ledger: Ledger):
    with scripted(OK) as script:
        url = script.url
    assert Wire(url, ledger, Style()).send(SENT) == "refused"


def test_retries_with_the_same_key_until_acknowledged(ledger: Ledger):
    with scripted(later(), Response(HANG_UP), FULL, DUPLICATE) as script:
        wire = Wire(script.url, ledger, Style(is_keyed=True))
        assert wire.send(SENT) == "dup"
        wire.close()
    assert len(script.requests) == 4
    assert len({received.headers["Idempotency-Key"] for received in script.requests}) == 1
    assert ledger.acknowledged == 2


def test_a_refusal_after_an_uncertain_attempt_stays_uncertain(ledger: Ledger):
    with scripted(Response(HANG_UP), no(422, "too_old")) as script:
        wire = Wire(script.url, ledger, Style(is_keyed=True))
        assert wire.send(SENT) == "maybe"
        wire.close()
