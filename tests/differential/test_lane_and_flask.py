"""`--no-lane` does not change the response to a well-formed request, nor what is stored."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from differential.generator import Generator
from differential.pair import Pair

FIXED_SEED = 1


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    both = Pair(tmp_path)
    yield both
    both.close()


@pytest.mark.slow
def test_the_lane_and_flask_respond_equally(pair: Pair):
    runs = [(FIXED_SEED, 1_000), (random.SystemRandom().randrange(10**9), 500)]
    again = "\n".join(f"scripts/differential --seed {s} --requests {n}" for s, n in runs)
    print(again)  # noqa: T201 - shown on failure
    for seed, requests in runs:
        found = pair.compare(seed, requests)
        assert not found, f"{again}\n" + "\n".join(map(str, found[:5]))
    sent = sum(requests for _, requests in runs)
    assert pair.statuses[500] == 0, again
    assert pair.statuses[200] > sent / 10, pair.statuses
    lane, flask = pair.totals()
    assert lane == flask, again
    assert sum(count for device in lane.values() for count, *_ in device.values()) > sent / 10


def test_a_seed_determines_every_request():
    def sent(seed: str) -> list[bytes]:
        made = Generator(seed, {"all": "x"}).batches(200)
        return [request.raw for batch in made for request in batch]

    assert sent("1-0") == sent("1-0")
    assert sent("1-0") != sent("2-0")
    assert len(sent("1-0")) == 200
