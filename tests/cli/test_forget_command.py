"""`tributary forget` against real aggregators and jobs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import redis
from click.testing import CliRunner, Result
from support import folding
from support.pipeline import environ
from support.processes import Process
from support.waiting import wait_until

from tributary.cli import cli
from tributary.model.frame import Block
from tributary.operate.forgetting import records
from tributary.settings import Settings
from tributary.store import keys, redis_client

Forget = Callable[..., Result]


@pytest.fixture
def forget(client: redis.Redis, settings: Settings) -> Forget:
    redis_client.prepare(client, settings)

    def run(*arguments: str, **options: Any) -> Result:
        return CliRunner().invoke(
            cli, ["forget", *arguments, "--redis-url", settings.redis_url], **options
        )

    return run


def fill(client: redis.Redis, settings: Settings) -> None:
    for number in range(4):
        for device in ("test/a", "test/b", "car-1"):
            folding.append(
                client, settings, [Block(device, 1_700_000_000_000 + number, {"m": 1.0})]
            )


def devices(client: redis.Redis, settings: Settings) -> list[str]:
    found = [client.zrange(keys.devices(p), 0, -1) for p in range(settings.partitions)]
    return sorted(name.decode() for names in found for name in names)


def test_deletes_what_a_pattern_covers_and_reports(
    forget: Forget,
    client: redis.Redis,
    change: Callable[..., Settings],
    run: Callable[..., Process],
):
    settings = change(history="off")
    fill(client, settings)
    folding.aggregate(settings, client)
    counted = json.loads(forget("test/*", "--dry-run", "--json").stdout)
    assert counted["names"] == ["test/a", "test/b"]
    assert (counted["series"], counted["stream_readings"]) == (2, 8)
    shown = forget("test/*", "--dry-run").stdout
    assert "test/b" in shown
    assert "stream entries" in shown
    assert devices(client, settings) == ["car-1", "test/a", "test/b"]
    for role in ("aggregator", "jobs"):
        run(role, environ=environ(settings))
    done = forget("test/*", "--yes", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["devices"], report["deleted"]["stream entries"]) == (2, 10)
    assert devices(client, settings) == ["car-1"]
    # The report comes first, and then the records go.
    wait_until(lambda: records.read(client, range(settings.partitions)) == [], "no record")
    again = forget("car-1", input="y\n")
    assert again.exit_code == 0, again.output
    assert "forgot 1 devices" in again.stdout
    assert "backups" in again.stdout
    assert devices(client, settings) == []


@pytest.mark.parametrize(
    ("arguments", "options", "status", "message"),
    [
        (("nothing*",), {}, 1, "no device matches"),
        (("a b",), {}, 2, "not a device or pattern"),
        (("car-1",), {"input": "n\n"}, 1, "Forget 1 devices permanently: car-1?"),
        (("car-1", "--yes", "--timeout", "1"), {}, 1, "`tributary jobs` run"),
    ],
)
def test_refusals(  # noqa: PLR0913 (the cases)
    forget: Forget,
    client: redis.Redis,
    settings: Settings,
    arguments: tuple[str, ...],
    options: dict[str, Any],
    status: int,
    message: str,
):
    fill(client, settings)
    done = forget(*arguments, **options)
    assert done.exit_code == status, done.output
    assert message in done.output


def test_does_not_wait_if_told(forget: Forget, client: redis.Redis, settings: Settings):
    fill(client, settings)
    done = forget("car-1", "--yes", "--no-wait", "--json")
    assert done.exit_code == 0, done.output
    (record,) = records.read(client, range(settings.partitions))
    assert json.loads(done.stdout)["request"] == record.tombstone.request


def test_a_request_that_redis_has_lost_is_reported(
    forget: Forget, client: redis.Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    fill(client, settings)
    monkeypatch.setattr(records, "read", lambda *_: [])
    done = forget("car-1", "--yes")
    assert done.exit_code == 1
    assert "run the command again" in done.output
