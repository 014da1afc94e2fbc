"""Random histories on a simulated clock and network: nothing lost, nothing twice, by the seed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.processes import Server

from aggregator.position import Position
from faults import simulated_command, simulated_history

HISTORIES = 12


@pytest.fixture(scope="module")
def empty() -> Iterator[Server]:
    with simulated_command.server() as running:
        yield running


def run(empty: Server, seed: int) -> simulated_history.Outcome:
    return simulated_history.run(empty.client, simulated_history.settings_of(empty.url), seed)


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_every_aggregate_follows_from_the_readings(empty: Server, seed: int):
    outcome = run(empty, seed)
    assert outcome.readings > 0
    assert outcome.violations == []


def test_a_history_depends_on_its_seed_alone(empty: Server):
    first, again, other = run(empty, 3), run(empty, 3), run(empty, 4)
    assert first == again
    assert first.trace != other.trace


def test_a_missing_rule_is_found(empty: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Position, "is_followed_by", lambda *_: True)
    assert any(run(empty, seed).violations for seed in range(1, 8))
