"""Damaged bodies and files are taken or refused; `scripts/fuzz` sends a million."""

from __future__ import annotations

import re
from random import SystemRandom

import pytest
from support import door_requests, mutate

from ingest.doors import DOORS
from ingest.doors.door import Door


def test_no_damaged_input_crashes_a_door_or_the_loader():
    outcome = mutate.run(3_000, SystemRandom().randrange(1 << 32))
    assert outcome.crash is None
    assert {"2xx", "4xx", "loaded", "not loaded"} <= set(outcome.results)


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
def test_a_lone_surrogate_in_a_value_is_refused_or_left_out(door: Door):
    for seed in mutate.seeds():
        if seed.door is door:
            body = re.sub(rb'"[A-Za-z_0-9.-]+"', rb'"\\ud800"', seed.body)
            status = door_requests.status_of(door, body, seed.query.decode(), **seed.params)
            assert 200 <= status < 500
