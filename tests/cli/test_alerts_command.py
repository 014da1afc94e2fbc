"""`tributary alerts`: silences, and what could not be delivered."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec
import pytest
from click.testing import CliRunner, Result
from support.processes import Server

from tributary.cli.alerts import command
from tributary.model.alert import Transition
from tributary.operate.alert_delivery import Undelivered
from tributary.settings import Settings
from tributary.store import keys, redis_client

NAMES = ("car-9", "engine_temperature", "overheating")
Run = Callable[..., Result]


@pytest.fixture
def alerts(server: Server) -> Run:
    server.client.flushall()
    redis_client.prepare(server.client, Settings(redis_url=server.url, partitions=1))
    server.client.hset(keys.rows(0), "car-9|engine_temperature", "0")

    def run(*arguments: str) -> Result:
        name, *others = arguments
        return CliRunner().invoke(command, [name, "--redis-url", server.url, *others])

    return run


def test_a_silence_is_set_listed_and_ended(alerts: Run):
    done = alerts("silence", *NAMES, "--for", "2h")
    assert done.exit_code == 0
    assert "overheating of engine_temperature is silenced for car-9 until" in done.output
    (listed,) = json.loads(alerts("silences", "--json").output)
    assert (listed["device"], listed["rule"]) == ("car-9", "overheating")
    assert alerts("silence", *NAMES, "--until", "2099-01-01T00:00:00Z").exit_code == 0
    assert "2099-01-01T00:00:00.000Z" in alerts("silences").output
    assert alerts("unsilence", *NAMES).exit_code == 0
    assert json.loads(alerts("silences", "--json").output) == []
    assert alerts("unsilence", *NAMES).exit_code == 1


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ((), "pass --for or --until"),
        (("--for", "2h", "--until", "2099-01-01T00:00:00Z"), "pass --for or --until"),
        (("--for", "2"), "'2' is not a duration"),
        (("--until", "2001-01-01T00:00:00Z"), "is not in the future"),
        (("--until", "soon"), "soon"),
    ],
)
def test_a_wrong_time_is_an_error(alerts: Run, options: tuple[str, ...], problem: str):
    done = alerts("silence", *NAMES, *options)
    assert done.exit_code == 2
    assert problem in done.output


def test_what_could_not_be_delivered_is_listed(alerts: Run, server: Server):
    transition = Transition(*NAMES, "info", "firing", "ok", 1, 2.0, "msg_1")
    for row in (
        Undelivered("https://a:443", "the receiver responded with 410", 5, transition),
        Undelivered("https://a:443", "3 transitions were trimmed before they were sent", 6, None),
    ):
        server.client.lpush(keys.undelivered(0), msgspec.json.encode(row))
    last, first = json.loads(alerts("undelivered", "--json").output)
    assert (first["device"], first["id"]) == ("car-9", "msg_1")
    assert last["reason"].startswith("3 transitions")
    assert "410" in alerts("undelivered", "--limit", "2").output
