"""What a restarted server lost is counted once, whichever processes report it and when."""

from __future__ import annotations

import random

import pytest
import redis
from support.folding import append_frame

from tributary.store import keys, scripts

META = keys.meta(0)
PROCESSES = 4


class Process:
    """An HTTP process: the numbers it was acknowledged, and the run id of that server."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._numbers = [0, 0]
        self.run = ""

    def append(self, readings: int) -> None:
        self._numbers = append_frame(self._client, 0, b"f", readings)

    def report(self, run: str) -> list[int]:
        entries, total = self._numbers
        command = scripts.report_tail(
            0, run=run, acknowledged_by=self.run, entries=entries, readings=total
        )
        reply = scripts.run(self._client, command)
        self._numbers, self.run = reply[:2], run
        return reply[2:]


def counts(client: redis.Redis) -> tuple[int, int, int, int]:
    names = ("entries", "accepted", "restart_lost_entries", "restart_lost")
    found = client.hmget(META, *names)
    return tuple(int(value or 0) for value in found)  # type: ignore[return-value]


@pytest.mark.parametrize("seed", range(20))
def test_entries_lost_in_a_restart_are_numbered_exactly_once(client: redis.Redis, seed: int):
    """A crash keeps a prefix of all writes, including reports; then every process reports."""
    chance = random.Random(seed)
    processes = [Process(client) for _ in range(PROCESSES)]
    acknowledged = readings = present = 0
    for run in map(str, range(8)):
        past = [(client.hgetall(META), present)]
        for process in chance.sample(processes, PROCESSES):
            process.report(run)
            past.append((client.hgetall(META), present))
            for _ in range(chance.randrange(6)):
                size = chance.randrange(1, 9)
                chance.choice([p for p in processes if p.run == run]).append(size)
                acknowledged, readings, present = acknowledged + 1, readings + size, present + 1
                past.append((client.hgetall(META), present))
        found = counts(client)
        assert found[:2] == (acknowledged, readings)
        assert found[2] == acknowledged - present
        kept, present = past[chance.randrange(len(past))]
        client.delete(META)
        if kept:
            client.hset(META, mapping=kept)


def test_a_report_to_a_server_that_did_not_restart_changes_nothing(client: redis.Redis):
    process = Process(client)
    assert process.report("one") == [0, 0]
    process.append(5)
    before = client.hgetall(META)
    assert process.report("one") == [0, 0]
    assert client.hgetall(META) == before


def test_a_report_of_smaller_numbers_adds_nothing(client: redis.Redis):
    first, second, new = Process(client), Process(client), Process(client)
    for process in (first, second):
        process.report("one")
    first.append(3)
    kept = client.hgetall(META)
    second.append(4)
    client.hset(META, mapping=kept)  # the crash: the second entry is gone
    assert new.report("two") == [0, 0]
    new.append(1)
    assert second.report("two") == [1, 4]
    assert first.report("two") == [0, 0]
    assert counts(client) == (3, 8, 1, 4)
