"""Random histories on a simulated clock and network: nothing lost, nothing twice, by the seed."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from aggregator.position import Position
from faults import simulated_command
from faults.simulated_history import Simulator

HISTORIES = 24
LONG = 40  # steps


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with simulated_command.server() as running:
        yield Simulator(running)


def test_every_aggregate_follows_from_the_readings(simulator: Simulator):
    outcomes = [simulator.run(seed) for seed in range(HISTORIES)]
    outcomes += [simulator.run(seed, LONG) for seed in range(HISTORIES, HISTORIES + 2)]
    assert sum(outcome.readings for outcome in outcomes) > 10 * HISTORIES
    assert sum(outcome.kills for outcome in outcomes) > 0
    assert [outcome for outcome in outcomes if outcome.violations] == []


def test_a_history_depends_on_its_seed_alone(simulator: Simulator):
    first, again, other = simulator.run(3), simulator.run(3), simulator.run(4)
    assert first == again
    assert first.trace != other.trace


def test_a_missing_rule_is_found(simulator: Simulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Position, "is_followed_by", lambda *_: True)
    assert any(simulator.run(seed).violations for seed in range(60))


def test_the_command_names_how_to_repeat(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Position, "is_followed_by", lambda *_: True)
    words = ["--seed", "0", "--count", "12"]
    done = CliRunner().invoke(simulated_command.command, words)
    assert done.exit_code == 1
    assert "12 histories of 10 steps from seed 0" in done.output
    again = re.findall(r"again: scripts/chaos histories (.*)", done.output)
    assert again
    repeated = CliRunner().invoke(simulated_command.command, again[0].split())
    assert repeated.exit_code == 1
