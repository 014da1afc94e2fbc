"""The short version of scripts/fuzz: every response matches the document."""

from __future__ import annotations

from random import SystemRandom

import pytest
from support.fuzz import fuzz
from support.processes import Deployment


@pytest.mark.slow
def test_every_response_matches_the_document(deployment: Deployment):
    deployment.post("/record", [{"device": "car-7", "engine_temperature": 92.3, "speed": 72}])
    outcome = fuzz(deployment.url, 6, SystemRandom().randrange(1_000_000))
    assert outcome.is_clean, outcome.text
    assert outcome.cases > 100
    assert "action=internal_error" not in deployment.process.text
