"""The archive behind real aggregators: what it counts, and what survives kills and refusals."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import redis
from support import folding, forgetting
from support.cluster import Cluster
from support.histories import Value, assert_history, values_of
from support.pipeline import environ
from support.processes import ROOT, Process, Server

from aggregator import pace, together
from aggregator.fold import Folded, fold
from jobs import archive
from tributary import failpoints
from tributary.errors import BacklogFull, NotPermitted
from tributary.history import reads
from tributary.history.database import Database
from tributary.model.frame import Block, pack
from tributary.operate import dead_letters, status
from tributary.settings import Settings
from tributary.store import acl, keys, redis_client
from tributary.store.stream import Appender, Frame, append

NOW_MS = 1_795_000_000_000
POISON = 666.0
Change = Callable[..., Settings]


@pytest.fixture
def one(server: Server, history: Settings) -> Settings:
    """The server of the test and an empty history; one partition."""
    return msgspec.structs.replace(history, redis_url=server.url, partitions=1, heartbeat_ms=100)


def ages() -> Iterator[int]:
    """Times of readings, also late ones of any age."""
    for number in range(10_000):
        late_ms = (0, 90_000, 7_200_000, 200_000_000, NOW_MS - 946_684_800_000)[number % 5]
        yield NOW_MS - late_ms + number * 700


def post(client: redis.Redis, settings: Settings, entries: int, devices: int = 7) -> list[Value]:
    """Append entries of one to three readings; their values."""
    found: list[Value] = []
    times = ages()
    for number in range(entries):
        device = f"d{number % devices}"
        blocks = [
            Block(device, next(times), {"m": float(number + n), "k": 1.0 / (number + 1)})
            for n in range(number % 3 + 1)
        ]
        folding.append(client, settings, blocks)
        found += values_of(pack(blocks))
    return found


def archive_all(settings: Settings) -> list[dict[str, int]]:
    return [archive.run(settings, partition) for partition in range(settings.partitions)]


def test_late_readings_of_any_age_are_in_their_own_slots(
    server: Server, one: Settings, open_history: Callable[[Settings], Database]
):
    settings = msgspec.structs.replace(one, partitions=3)
    values = post(server.client, settings, 300)
    before = archive_all(settings)
    assert [each["entries"] for each in before] == [0, 0, 0]
    folding.aggregate(settings, server.client)
    done = archive_all(settings)
    assert sum(each["entries"] for each in done) == 300
    assert all(each["is_complete"] for each in done)
    values += post(server.client, settings, 50)
    folding.aggregate(settings, server.client)
    archive_all(settings)
    archive_all(settings)
    assert_history(open_history(settings), values)
    found = status.read(server.client, settings).history
    assert found is not None
    assert (found.lag_s, found.lag_entries, found.gaps) == (0.0, 0, 0)


class Allergic:
    """The fold, with a bug that one value triggers."""

    def __call__(self, *arguments: object) -> Folded:
        if POISON in arguments[3].values:  # type: ignore[attr-defined]
            raise FloatingPointError("cannot stand this")
        return fold(*arguments)  # type: ignore[arg-type]


def test_buried_entries_do_not_count_until_they_are_replayed(
    server: Server,
    one: Settings,
    monkeypatch: pytest.MonkeyPatch,
    open_history: Callable[[Settings], Database],
):
    client = server.client
    monkeypatch.setattr(pace, "VALUES_MAX", 512)
    monkeypatch.setattr(together, "fold", Allergic())
    good = post(client, one, 20)
    bad = [Block("d0", NOW_MS, {"m": POISON}), Block("d0", NOW_MS, {"m": 1.0})]
    folding.append(client, one, bad)
    large = [Block("d9", NOW_MS + n, {"m": POISON if n == 400 else 1.0}) for n in range(500)]
    folding.append(client, one, large)
    good += post(client, one, 20)
    folding.aggregate(one, client)
    applied = int(folding.state(client, one, "d9", "m")["count"])
    assert 0 < applied <= 400
    monkeypatch.setattr(together, "fold", fold)
    entries = list(dead_letters.read(client, 0))
    assert dead_letters.replay(client, one, entries) == (2, {})  # before the history knows
    good += values_of(pack(large), applied)
    archive.run(one, 0)
    db = open_history(one)
    assert_history(db, good)
    folding.aggregate(one, client)
    archive.run(one, 0)
    good += values_of(pack(bad))
    good += list(values_of(pack(large)))[applied:]
    assert_history(db, good)
    assert reads.count_gaps(db, 0) == (0, 0, 0)


def test_a_device_is_forgotten_at_its_place_in_the_stream(
    server: Server, one: Settings, open_history: Callable[[Settings], Database]
):
    client = server.client
    values = post(client, one, 20)
    folding.aggregate(one, client)
    archive.run(one, 0)
    values += post(client, one, 20)
    forgetting.append(client, 0, ["d1", "d2"])
    later = post(client, one, 20)
    folding.aggregate(one, client)
    archive.run(one, 0)
    kept = [value for value in values if value.device not in {"d1", "d2"}]
    assert_history(open_history(one), [*kept, *later])


def test_an_entry_in_slices_waits_and_those_behind_it_too(
    server: Server, one: Settings, open_history: Callable[[Settings], Database]
):
    client = server.client
    post(client, one, 10)
    folding.aggregate(one, client)
    third = client.xrange(keys.readings(0))[2][0]
    client.hset(keys.meta(0), "progress", third + b" 1")
    assert archive.run(one, 0)["entries"] == 2
    client.hset(keys.meta(0), "progress", "")
    assert archive.run(one, 0)["entries"] == 8


@pytest.mark.parametrize("deletes", [False, True])
def test_what_was_trimmed_before_is_a_gap_with_exact_counts(
    server: Server, one: Settings, open_history: Callable[[Settings], Database], *, deletes: bool
):
    client = server.client
    counted = post(client, one, 10)
    folding.aggregate(one, client)
    archive.run(one, 0)
    lost = post(client, one, 30)
    folding.aggregate(one, client)
    found = status.read(client, one).history
    assert found is not None
    assert found.lag_entries == 30
    assert found.lag_s > 0
    client.delete(keys.readings(0)) if deletes else client.xtrim(keys.readings(0), maxlen=0)
    if not deletes:
        counted += post(client, one, 5)
        folding.aggregate(one, client)
    assert archive.run(one, 0)["gaps"] == 1
    assert archive.run(one, 0)["gaps"] == 0
    db = open_history(one)
    assert_history(db, counted)
    (gap,) = reads.gaps(db, 0, 1 << 62, 0)
    assert (gap.entries, gap.readings) == (30, len(lost) // 2)
    assert gap.from_ms <= gap.to_ms
    found = status.read(client, one).history
    assert found is not None
    assert (found.gaps, found.gap_entries, found.gap_readings) == (1, 30, len(lost) // 2)


POINTS = [point for point in failpoints.POINTS if "archive" in point]
_JOB = """
import sys
from jobs import archive
from tributary import failpoints, settings
loaded = settings.load()
failpoints.arm(loaded.fail)
archive.run(loaded, 0)
"""


@pytest.mark.kills
@pytest.mark.parametrize("point", POINTS)
def test_a_job_killed_at_any_point_is_run_again(
    server: Server, one: Settings, point: str, open_history: Callable[[Settings], Database]
):
    values = post(server.client, one, 100)
    folding.aggregate(one, server.client)
    open_history(one)
    for attempt in range(2):
        job = Process([sys.executable, "-c", _JOB], environ(one, point), cwd=ROOT)
        has_nothing_to_do = attempt and point == "after_archive_commit"
        assert job.end() == (0 if has_nothing_to_do else -signal.SIGKILL), job.text
    archive.run(one, 0)
    assert_history(open_history(one), values)
    found = status.read(server.client, one).history
    assert found is not None
    assert found.lag_entries == 0


def test_a_missing_permission_is_named(server: Server, one: Settings):
    client = server.client
    post(client, one, 3)
    folding.aggregate(one, client)
    client.acl_setuser("jobs", enabled=True, nopass=True)
    client.execute_command("ACL", "SETUSER", "jobs", *acl.rules("jobs"))
    try:
        url = one.redis_url.replace("unix://", "unix://jobs:x@")
        limited = msgspec.structs.replace(one, redis_url=url)
        assert archive.run(limited, 0)["entries"] == 3
        client.execute_command("ACL", "SETUSER", "jobs", "-xrange")
        with pytest.raises(NotPermitted, match="xrange"):
            archive.run(limited, 0)
    finally:
        client.acl_deluser("jobs")


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server")
def test_partitions_on_several_nodes_of_a_cluster(
    tmp_path: Path, one: Settings, open_history: Callable[[Settings], Database]
):
    cluster = Cluster(tmp_path / "cluster")
    try:
        settings = msgspec.structs.replace(one, redis_url=cluster.url, partitions=8)
        client = redis_client.connect(settings)
        values = post(client, settings, 100, devices=20)
        folding.aggregate(settings, client)
        archive_all(settings)
        assert_history(open_history(settings), values)
        client.close()
    finally:
        cluster.close()


def test_a_required_history_refuses_readings_before_an_entry_could_be_trimmed(
    server: Server, one: Settings, open_history: Callable[[Settings], Database]
):
    settings = msgspec.structs.replace(one, history="required", stream_max_entries=100)
    appender, accepted = Appender(settings), 0
    packed = pack([Block("d", NOW_MS, {"m": 1.0})])

    def numbered() -> int:
        return int(server.client.hget(keys.meta(0), "entries") or 0)

    def fill() -> int:
        reasons: list[str] = []
        before = numbered()
        while not reasons:
            try:
                append(server.client, appender, [Frame(0, 1, packed)])
            except BacklogFull as refused:
                reasons.append(str(refused))
        assert ("history" in reasons[0]) != folding.behind(server.client, settings)
        return numbered() - before

    accepted += fill()
    folding.aggregate(settings, server.client)
    assert fill() == 0
    assert [p for p in status.problems(status.read(server.client, settings)) if "history" in p]
    for _ in range(3):
        archive.run(settings, 0)
        accepted += fill()
        folding.aggregate(settings, server.client)
    archive.run(settings, 0)
    db = open_history(settings)
    assert accepted >= 360
    assert_history(db, [Value("d", "m", NOW_MS, 1.0)] * accepted)
    assert reads.count_gaps(db, 0) == (0, 0, 0)


def test_nothing_happens_if_the_history_is_off(server: Server, one: Settings):
    settings = msgspec.structs.replace(one, history="off")
    post(server.client, settings, 3)
    folding.aggregate(settings, server.client)
    assert archive.run(settings, 0)["entries"] == 0
    assert status.read(server.client, settings).history is None
