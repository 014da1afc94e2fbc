"""The state table of a connection: scenarios make each transition, and no other occurs."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from lane.connection_scenarios import SCENARIOS, Scenario
from lane.memory_client import Client
from tributary.http.lane.state import TRANSITIONS, IllegalTransition, State, check_transition


def play(run: Scenario) -> set[tuple[State, State]]:
    """Run a scenario; the transitions that it has made."""
    seen: set[tuple[State, State]] = set()
    clients: list[Client] = []

    def connect(**limits: int) -> Client:
        clients.append(Client(seen, **limits))
        return clients[-1]

    async def start() -> None:
        await run(connect)
        for client in clients:
            client.connection.seen = set()
            client.connection.connection_lost(None)
            await client.general_responds()

    asyncio.run(start())
    return seen


@pytest.mark.parametrize("run", SCENARIOS, ids=lambda run: run.__name__)
def test_a_connection(run: Scenario):
    assert play(run)


def test_the_scenarios_make_every_transition_of_the_table():
    made = set().union(*map(play, SCENARIOS))
    table = {(state, after) for state, row in TRANSITIONS.items() for after in row}
    assert sorted(table - made) == sorted(made - table) == []


def test_only_the_transitions_of_the_table_are_legal():
    for state, after in itertools.product(State, State):
        if after in TRANSITIONS[state]:
            check_transition(state, after)
        else:
            with pytest.raises(IllegalTransition, match=f"{state.name} → {after.name}"):
                check_transition(state, after)


def test_every_state_can_end_and_no_transition_undoes_that():
    for state in set(State) - {State.CLOSED}:
        assert State.CLOSED in TRANSITIONS[state]
        assert state < State.DRAINING or min(TRANSITIONS[state]) > State.DRAINING
    assert not TRANSITIONS[State.CLOSED]
