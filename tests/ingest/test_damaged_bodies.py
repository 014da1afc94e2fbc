"""Damaged bodies and files are taken or refused; `scripts/fuzz` sends a million."""

from __future__ import annotations

from random import SystemRandom

from support import mutate


def test_no_damaged_input_crashes_a_door_or_the_loader():
    outcome = mutate.run(3_000, SystemRandom().randrange(1 << 32))
    assert outcome.crash is None
    assert {"2xx", "4xx", "loaded", "not loaded"} <= set(outcome.results)
