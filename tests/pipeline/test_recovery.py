"""The pipeline recovers by itself; nothing is lost, and nothing counts twice."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import pipeline
from support.pipeline import Load
from support.processes import Process, Server, stopped
from support.waiting import wait_until

from tributary.operate import status
from tributary.settings import Settings
from tributary.store import keys, redis_client

READINGS = 8_000
BINARIES = ["", "redis-server"]
Run = Callable[..., Process]


# For tests of the workers, which do not depend on the server.
valkey_only = pytest.mark.parametrize("any_server", [""], ids=["valkey"], indirect=True)


@pytest.fixture(params=BINARIES, ids=["valkey", "redis"])
def any_server(request: pytest.FixtureRequest, own_server: Callable[..., Server]) -> Server:
    """The embedded Valkey, and Redis 7.0 of Debian."""
    if request.param and shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return own_server(binary=request.param, appendfsync="always")


@pytest.fixture
def settings_of(any_server: Server) -> Settings:
    return Settings(
        redis_url=any_server.url,
        heartbeat_ms=100,
        stream_max_entries=10_000_000,
        redis_timeout_ms=1000,
    )


@pytest.fixture
def load(settings_of: Settings, run: Run, tmp_path: Path) -> Iterator[Load]:
    """A load of readings through one HTTP role."""
    url = pipeline.ingest(run, settings_of)
    seed = random.randrange(1 << 32)
    running = Load(url, tmp_path / "ledger.jsonl", readings=READINGS, seed=seed)
    yield running
    running.close()


def start(run: Run, settings: Settings, count: int) -> list[Process]:
    return [run("aggregator", environ=pipeline.environ(settings)) for _ in range(count)]


def owners(settings: Settings) -> list[dict]:
    client = redis_client.connect(settings)
    alive = status.aggregators_alive(client, settings)
    client.close()
    return alive


def destroy_groups(server: Server) -> None:
    for stream in server.client.scan_iter(keys.readings(0).replace("{0}", "{*}")):
        server.client.xgroup_destroy(stream, keys.GROUP)


def flush_scripts(server: Server) -> None:
    server.client.script_flush()


def restart(server: Server) -> None:
    server.kill()
    server.start()


@pytest.mark.kills
def test_the_workers_survive_destroyed_groups_flushed_scripts_and_a_killed_server(
    load: Load, any_server: Server, settings_of: Settings, run: Run
):
    aggregators = start(run, settings_of, 2)
    for turn, act in enumerate((destroy_groups, flush_scripts, restart) * 3, 2):
        load.wait_for(READINGS * turn // 12)
        act(any_server)
    verdict = load.verdict(settings_of)
    assert verdict.is_clean, verdict
    assert verdict.acknowledged == READINGS
    for process in aggregators:
        assert process.popen.poll() is None, process.text


@valkey_only
def test_a_suspended_worker_loses_its_partitions_and_does_no_harm_when_resumed(
    load: Load, settings_of: Settings, run: Run
):
    aggregators = start(run, settings_of, 2)
    wait_until(lambda: len(owners(settings_of)) == 2, "two aggregators")
    for share in (8, 4, 2):
        load.wait_for(READINGS // share)
        with stopped(aggregators[0]):
            wait_until(lambda: len(owners(settings_of)) == 1, "the sleeper to be missed")
            load.wait_for(READINGS // share + 500)
        wait_until(lambda: len(owners(settings_of)) == 2, "the sleeper to be back")
    verdict = load.verdict(settings_of)
    assert verdict.is_clean, verdict
    assert verdict.acknowledged == READINGS


@valkey_only
def test_each_partition_has_one_owner_and_a_worker_that_stops_hands_over_within_1_s(
    settings_of: Settings, run: Run
):
    first, *others = start(run, settings_of, 3)
    alive = wait_until(lambda: (o := owners(settings_of)) and len(o) == 3 and o, "three workers")
    every = list(range(settings_of.partitions))
    assert sorted(partition for worker in alive for partition in worker.partitions) == every
    # Owners follow from hashes of random ids: rarely, one of three workers owns nothing.
    assert sum(bool(worker.partitions) for worker in alive) >= 2
    assert first.stop() == 0
    wait_until(
        lambda: sorted(p for o in owners(settings_of) for p in o.partitions) == every,
        "the others to own every partition",
        timeout_s=1.0,
    )
    assert [other.stop() for other in others] == [0, 0]


@valkey_only
def test_readings_wait_for_a_worker_and_sigterm_loses_nothing(
    load: Load, settings_of: Settings, run: Run
):
    load.wait_for(READINGS // 16)
    assert not pipeline.drained(settings_of)
    for share in (8, 4, 2):
        (worker,) = start(run, settings_of, 1)
        wait_until(lambda: owners(settings_of), "the worker to be alive")
        load.wait_for(READINGS // share)
        worker.signal(signal.SIGTERM)
        assert worker.end() == 0
    start(run, settings_of, 1)
    assert load.verdict(settings_of).is_clean
