"""The job that finishes tombstones: nothing names the devices, and everything else stays."""

from __future__ import annotations

import contextlib
import secrets

import msgspec
import pytest
from support import folding
from support.account import assert_adds_up
from support.forgetting import as_user, block, bury, column, files_with, texts
from support.processes import Server

from jobs import archive, due
from jobs.forget import job, proof, streams
from jobs.forget.proof import Names
from tributary.errors import Unavailable
from tributary.history.database import Database
from tributary.model.frame import Block, pack, readings_in
from tributary.operate import dead_letters, status
from tributary.operate.forgetting import entries, history_rows, requests, survey
from tributary.settings import Settings
from tributary.store import keys, redis_client


def test_nothing_names_a_forgotten_device(site: tuple[Server, Settings]):
    server, settings = site
    client, name = server.client, f"gone-{secrets.token_hex(8)}"
    partition = keys.partition_of(name, 2)
    kept = next(d for d in (f"kept-{n}" for n in range(9)) if keys.partition_of(d, 2) == partition)
    folding.append(client, settings, [block(name, 0), block(kept, 0)])
    folding.append(client, settings, [block(kept, 1)])
    folding.append_packed(client, partition, pack([column([kept, name, kept])]), 3)
    folding.append(client, settings, [block(name, 2)])
    folding.append_packed(client, partition, b"\xc1 " + name.encode(), 1)
    bury(client, partition, [column([name, kept, name]), block(name, 5), block(kept, 7)])
    client.save()
    assert len(files_with(server, name)) >= 2
    folding.aggregate(settings, client)
    found = survey.survey(client, settings, [name])
    assert (found.series, found.stream_entries, found.stream_readings) == (1, 4, 3)
    assert (found.readings_of_others, found.dead_entries) == (3, 2)
    operator, jobs = as_user(server, settings, "operator"), as_user(server, settings, "jobs")
    with contextlib.closing(redis_client.connect(operator)) as own:
        request = requests.ask(own, operator, requests.resolve(own, operator, name[:-1] + "*"))
    assert due.forget(jobs) == [()]
    assert job.run(jobs) == {"finished": 0, "waiting": 1}
    folding.append(client, settings, [block(kept, 3)])
    folding.aggregate(settings, client)
    assert requests.progress(client, request) == "aggregators"
    assert job.run(jobs) == {"finished": 1, "waiting": 0}
    assert name.encode() not in texts(client)
    assert files_with(server, name) == []
    report = requests.report(client, request)
    assert report is not None
    assert (report.devices, report.deleted["stream entries"]) == (1, 5)
    assert report.deleted["readings of other devices in them"] == 3
    assert (report.deleted["dead entries"], report.checked["dead entries"]) == (2, 1)
    assert name not in msgspec.json.encode(report).decode()
    assert [left.where for left in report.left] == ["backups and copies of the stores", "logs"]
    assert int(folding.state(client, settings, kept, "m")["count"]) == 5
    (dead,) = dead_letters.read(client, partition)
    assert (dead.readings, readings_in(dead.blocks())) == (2, 2)
    assert [b[0] for b in dead.blocks()] == [[kept], kept]
    assert client.hget(keys.holes(partition), "entries") == b"5"
    assert due.forget(settings) == [()], "the hole is in the stream"
    client.xtrim(keys.readings(partition), maxlen=0, approximate=False)
    assert job.run(settings) == {"finished": 0, "waiting": 0}
    assert not client.exists(keys.forgets(partition))
    assert_adds_up(status.read(client, settings))


def test_a_device_that_returns_is_kept_and_counts_once(site: tuple[Server, Settings]):
    server, settings = site
    client, partition = server.client, keys.partition_of("gone", 2)
    for second in range(3):
        folding.append(client, settings, [block("gone", second)])
    folding.aggregate(settings, client)
    request = requests.ask(client, settings, ["gone"])
    folding.append(client, settings, [block("gone", 10)])
    folding.aggregate(settings, client)
    assert job.run(settings)["finished"] == 1
    assert int(folding.state(client, settings, "gone", "m")["count"]) == 1
    assert client.xlen(keys.readings(partition)) == 1
    report = requests.report(client, request)
    assert report is not None
    assert report.left[0].where == "1 devices"


def test_a_device_that_returns_is_kept_although_its_entries_were_trimmed(
    site: tuple[Server, Settings],
):
    server, settings = site
    settings = msgspec.structs.replace(settings, history="on")
    client, partition = server.client, keys.partition_of("gone", 2)
    other = next(d for d in (f"o-{n}" for n in range(9)) if keys.partition_of(d, 2) == partition)
    for device in ("gone", other):
        folding.append(client, settings, [block(device, 0)])
    request = requests.ask(client, settings, ["gone", other])
    folding.append(client, settings, [block("gone", 70)])
    folding.aggregate(settings, client)
    archive.run(settings, partition)
    client.xtrim(keys.readings(partition), maxlen=0, approximate=False)
    assert job.run(settings) == {"finished": 1, "waiting": 0}
    assert int(folding.state(client, settings, "gone", "m")["count"]) == 1
    with contextlib.closing(Database.open(settings, migrate=False)) as db:
        assert history_rows.existing(db, ["gone", other]) == {"gone"}
    report = requests.report(client, request)
    assert report is not None
    assert (report.devices, report.left[0].where) == (2, "1 devices")


def test_a_device_that_returns_is_kept_if_a_later_tombstone_removes_its_entries(
    site: tuple[Server, Settings],
):
    """An entry of two devices is deleted as a whole when the second one is forgotten."""
    server, settings = site
    client, partition = server.client, keys.partition_of("gone", 2)
    other = next(d for d in (f"o-{n}" for n in range(9)) if keys.partition_of(d, 2) == partition)
    folding.append(client, settings, [block("gone", 0)])
    requests.ask(client, settings, ["gone"])
    folding.append(client, settings, [block("gone", 10), block(other, 10)])
    requests.ask(client, settings, [other])
    folding.aggregate(settings, client)
    assert job.run(settings) == {"finished": 2, "waiting": 0}
    assert client.xlen(keys.readings(partition)) == 0
    assert int(folding.state(client, settings, "gone", "m")["count"]) == 1
    assert client.zrange(keys.devices(partition), 0, -1) == [b"gone"]


def test_a_tombstone_that_was_lost_is_appended_again(site: tuple[Server, Settings]):
    server, settings = site
    client, partition = server.client, keys.partition_of("gone", 2)
    folding.append(client, settings, [block("gone", 0)])
    folding.aggregate(settings, client)
    request = requests.ask(client, settings, ["gone"])
    (lost,) = client.hkeys(keys.forgets(partition))
    client.xdel(keys.readings(partition), lost)
    folding.append(client, settings, [block("gone", 1)])
    folding.aggregate(settings, client)
    assert job.run(settings) == {"finished": 0, "waiting": 1}
    folding.aggregate(settings, client)
    assert job.run(settings) == {"finished": 1, "waiting": 0}
    assert client.zrange(keys.devices(partition), 0, -1) == []
    assert requests.report(client, request) is not None
    assert_adds_up(status.read(client, settings))


@pytest.mark.parametrize("age_ms", [-10_000, 10_000])
def test_silent_devices_are_forgotten_after_the_time_that_is_set(
    site: tuple[Server, Settings], age_ms: int
):
    server, settings = site
    client = server.client
    settings = msgspec.structs.replace(settings, forget_after="30d")
    old_ms = job.utc_ms() - 30 * 86_400_000 - age_ms
    folding.append(client, settings, [Block("a", old_ms, {"m": 1.0})])
    folding.append(client, settings, [Block("b", job.utc_ms(), {"m": 1.0})])
    folding.aggregate(settings, client)
    assert job.forget_silent(settings) == {"asked": int(age_ms > 0)}
    assert job.forget_silent(settings) == {"asked": 0}
    folding.aggregate(settings, client)
    job.run(settings)
    left = [d for p in range(2) for d in client.zrange(keys.devices(p), 0, -1)]
    assert sorted(left) == ([b"b"] if age_ms > 0 else [b"a", b"b"])


def test_a_silent_device_that_records_before_its_tombstone_is_kept(site: tuple[Server, Settings]):
    server, settings = site
    client = server.client
    settings = msgspec.structs.replace(settings, forget_after="1d")
    folding.append(client, settings, [block("a", 0)])
    folding.aggregate(settings, client)
    folding.append(client, settings, [Block("a", job.utc_ms(), {"m": 1.0})])
    assert job.forget_silent(settings) == {"asked": 1}
    folding.aggregate(settings, client)
    assert job.run(settings) == {"finished": 1, "waiting": 0}
    assert int(folding.state(client, settings, "a", "m")["count"]) == 2
    assert client.xlen(keys.readings(keys.partition_of("a", 2))) == 3


def test_names_that_stay_somewhere_are_reported_and_the_job_repeated(
    site: tuple[Server, Settings],
):
    server, settings = site
    client = server.client
    folding.append(client, settings, [block("gone", 0)])
    client.hset(keys.IGNORED, "gone", 1)  # what no version writes
    client.hset(keys.TOKENS, "x", "gone")  # a setting
    client.set(keys.once(0, "gone"), "d", px=600_000)
    request = requests.ask(client, settings, ["gone"])
    folding.aggregate(settings, client)
    with pytest.raises(Unavailable, match="tributary:ignored"):
        job.run(settings)
    client.delete(keys.IGNORED)
    assert job.run(settings)["finished"] == 1
    report = requests.report(client, request)
    assert report is not None
    assert report.left[0].where == "tributary:*:once:*"


def test_many_idempotency_keys_are_searched_in_a_few_round_trips(site: tuple[Server, Settings]):
    server, settings = site
    client, number = server.client, 5_000
    with client.pipeline(transaction=False) as pipeline:
        for n in range(number):
            pipeline.set(keys.once(n % 2, f"key-{n}"), '{"accepted":1}', px=600_000)
        pipeline.set(keys.once(0, "last"), '{"device":"gone"}', px=600_000)
        pipeline.execute()
    requests.ask(client, settings, ["gone"])
    folding.aggregate(settings, client)
    before = client.info("stats")["total_reads_processed"]
    assert job.run(settings)["finished"] == 1
    assert client.info("stats")["total_reads_processed"] - before < number / 10
    places = proof.search(client, settings, {0: {"gone": (1, 0)}}, None)
    assert places.checked["other keys"] > number
    assert places.found["tributary:*:once:*"] == 1


def test_names_are_found_as_words():
    names = Names(["car-1", "a.b"])
    assert names.are_in(b'{"device":"car-1"}')
    assert names.are_in(b"message: a.b")
    assert not names.are_in(b"car-12 a.bc xcar-1 acb")


def test_only_what_was_recorded_before_the_last_tombstone_is_deleted():
    entry = entries.parse(b"5-0", [b"e", b"1", b"n", b"1", b"r", pack([block("a", 0)])])
    assert streams.named(entry, {"a": (5, 0)}) == {"a"}
    assert streams.named(entry, {"a": (4, 9), "b": (9, 0)}) == frozenset()
    assert streams.named(entry, {"a": (5, 0)}, "6-0") == frozenset()
