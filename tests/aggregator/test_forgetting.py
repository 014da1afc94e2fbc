"""A tombstone removes its devices at its place in the order; everything else stays exact."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
import redis
from support import folding, forgetting
from support.account import assert_adds_up
from support.pipeline import environ
from support.processes import Process, Server
from support.waiting import wait_until

from aggregator.account import Counts, sort_out
from aggregator.table import Table, Unseen
from tributary.model.aggregate import Layout
from tributary.model.frame import Block, pack
from tributary.model.reading import rfc3339
from tributary.model.rows import UNKNOWN, Shape, StoredSeries
from tributary.operate import status
from tributary.settings import Settings
from tributary.store import acl, keys, redis_client
from tributary.store.tombstone import DEVICES_MAX, Tombstone

START_MS = 1_700_000_000_000


def block(device: str, second: int, *metrics: str) -> Block:
    return Block(device, START_MS + 1000 * second, dict.fromkeys(metrics or ("m",), float(second)))


def fields_with(client: redis.Redis, device: str) -> list[tuple[str, bytes]]:
    """Where a device is left in the aggregates of partition 0."""
    held = [(name, list(client.hkeys(key(0)))) for name, key in HASHES.items()]
    held.append(("devices", list(client.zrange(keys.devices(0), 0, -1))))
    return [(name, field) for name, fields in held for field in fields if device.encode() in field]


HASHES = {"rows": keys.rows, "latest": keys.latest}


def test_what_was_recorded_before_is_gone_and_what_follows_counts_as_new(
    change: Callable[..., Settings], client: redis.Redis
):
    settings = change(partitions=1)
    for second in (0, 100):
        folding.append(client, settings, [block("gone", second, "m", "k.x"), block("kept", second)])
    folding.aggregate(settings, client)
    assert len(fields_with(client, "gone")) == 4
    folding.append(client, settings, [block("gone", 101, "late_metric"), block("kept", 101)])
    forgetting.append(client, 0, ["gone", "unknown"])
    folding.append(client, settings, [block("kept", 102)])
    folding.aggregate(settings, client)
    assert fields_with(client, "gone") == []
    folding.append(client, settings, [block("gone", 50), block("kept", 103)])
    folding.aggregate(settings, client)
    assert folding.latest(client, settings, "gone") == {
        "device": "gone", "recorded_at": rfc3339(START_MS + 50_000),
        "current_m": 50.0, "average_m": 50.0,
    }  # fmt: skip
    assert fields_with(client, "gone")[-1] == ("devices", b"gone")
    counts = [int(folding.state(client, settings, d, "m")["count"]) for d in ("gone", "kept")]
    assert counts == [1, 5]
    found = status.read(client, settings)
    assert_adds_up(found)
    assert (found.accepted, found.applied, found.devices, found.series) == (9, 9, 2, 2)
    assert found.partitions[0].entries.applied == 6
    assert client.hget(keys.meta(0), "forgets") == b"1"


def test_one_batch_is_applied_in_the_order_of_the_stream(
    change: Callable[..., Settings], client: redis.Redis
):
    """Readings of the device before, between and behind tombstones, all read at once."""
    settings = change(partitions=1)
    for second in range(40):
        folding.append(client, settings, [block("gone", second), block("kept", second)])
        if second in {0, 17, 18, 30}:
            forgetting.append(client, 0, ["gone"])
    folding.aggregate(settings, client)
    counts = [int(folding.state(client, settings, d, "m")["count"]) for d in ("gone", "kept")]
    assert counts == [9, 40]
    assert_adds_up(status.read(client, settings))


def test_only_devices_without_a_newer_reading_are_forgotten(
    change: Callable[..., Settings], client: redis.Redis
):
    settings = change(partitions=1)
    folding.append(client, settings, [block("old", 9), block("same", 10), block("new", 11)])
    before = rfc3339(START_MS + 10_000)
    id_ = forgetting.append(client, 0, ["old", "same", "new"], before)
    folding.aggregate(settings, client)
    assert client.zrange(keys.devices(0), 0, -1) == [b"new", b"same"]
    text = client.hget(keys.forgets(0), id_)
    assert text == f"applied\ntest\n{before}\nold".encode()


def test_a_tombstone_may_name_many_devices_with_many_metrics(
    change: Callable[..., Settings], client: redis.Redis
):
    settings = change(partitions=1, series_cached_max=1000)
    names = [f"m{n}" for n in range(8)]
    devices = [f"car-{n}" for n in range(DEVICES_MAX)]
    for device in devices:
        folding.append(client, settings, [block(device, 0, *names)])
    folding.append(client, settings, [block("kept", 0, *(f"m{n}" for n in range(2000)))])
    forgetting.append(client, 0, [*devices[1:], "kept"])
    folding.aggregate(settings, client)
    assert client.zrange(keys.devices(0), 0, -1) == [b"car-0"]
    assert {field.partition(b"|")[0] for field in client.hkeys(keys.rows(0))} == {b"car-0"}


@pytest.mark.kills
@pytest.mark.parametrize("point", ["after_commit:1", "after_commit:4", "after_fold:3"])
def test_it_waits_for_an_entry_that_is_begun_also_after_a_crash(
    change: Callable[..., Settings], client: redis.Redis, run: Callable[..., Process], point: str
):
    """The slices of that entry are applied behind it, but were recorded before it."""
    settings = change(partitions=1)
    redis_client.prepare(client, settings)
    wide = {f"m{n}": 1.0 for n in range(16)}
    folding.append(client, settings, [Block(f"car-{n}", START_MS, wide) for n in range(6000)])
    forgetting.append(client, 0, [f"car-{n}" for n in range(0, 6000, 20)])
    folding.append(client, settings, [block("car-0", 1), block("car-1", 1)])
    dying = run("aggregator", environ=environ(settings, point))
    wait_until(lambda: dying.popen.poll() is not None, "it to exit", 60)
    folding.aggregate(settings, client)
    left = {field.decode() for field in client.hkeys(keys.rows(0))}
    expected = {f"car-{n}|m{k}" for n in range(6000) if n % 20 for k in range(16)}
    assert left == {*expected, "car-0|m", "car-1|m"}
    assert_adds_up(status.read(client, settings))


def test_counts_a_tombstone_that_was_trimmed_as_a_lost_entry_without_readings(
    change: Callable[..., Settings], client: redis.Redis
):
    settings = change(partitions=1)
    folding.append(client, settings, [block("gone", 0)])
    folding.aggregate(settings, client)
    id_ = forgetting.append(client, 0, ["gone"])
    assert status.read(client, settings).partitions[0].entries.missing == 0
    client.xdel(keys.readings(0), id_)
    folding.append(client, settings, [block("kept", 1)])
    found = status.read(client, settings).partitions[0]
    assert (found.missing, found.entries.missing) == (0, 1)
    folding.aggregate(settings, client)
    found = status.read(client, settings).partitions[0]
    assert (found.lost, found.entries.lost, found.applied) == (0, 1, 2)
    assert_adds_up(status.read(client, settings))


def test_a_trimmed_reading_before_a_tombstone_is_missing_exactly(
    change: Callable[..., Settings], client: redis.Redis
):
    settings = change(partitions=1)
    trimmed = folding.append(client, settings, [block("a", 0), block("a", 1)])
    forgetting.append(client, 0, ["gone"])
    client.xdel(keys.readings(0), trimmed)
    assert status.read(client, settings).missing == 2
    folding.aggregate(settings, client)
    assert status.read(client, settings).lost == 2
    assert_adds_up(status.read(client, settings))


def test_a_bad_tombstone_is_buried(change: Callable[..., Settings], client: redis.Redis):
    settings = change(partitions=1)
    folding.append(client, settings, [block("kept", 0)])
    client.hincrby(keys.meta(0), "entries", 1)
    client.xadd(keys.readings(0), {"e": 2, "n": 1, "f": b"\xff"})
    folding.append(client, settings, [block("kept", 1)])
    folding.aggregate(settings, client)
    found = status.read(client, settings)
    assert_adds_up(found)
    assert (found.applied, found.dead, found.partitions[0].entries.dead) == (2, 0, 1)


def test_without_permission_nothing_of_it_is_applied_until_it_is_granted(
    change: Callable[..., Settings], server: Server, run: Callable[..., Process]
):
    client, settings = server.client, change(partitions=1)
    folding.append(client, settings, [block("gone", 0), block("kept", 0)])
    forgetting.append(client, 0, ["gone"])
    folding.append(client, settings, [block("gone", 1), block("kept", 1)])
    redis_client.prepare(client, settings)
    denied = [rule for rule in acl.rules("aggregator") if rule != "+zrem"]
    client.acl_setuser("old", reset=True, enabled=True, nopass=True, commands=[])
    client.execute_command("ACL", "SETUSER", "old", *denied)
    url = settings.redis_url.replace("unix://", "unix://old:x@")
    process = run("aggregator", environ=environ(change(partitions=1, redis_url=url)))
    try:
        wait_until(lambda: "ZREM" in process.text.upper(), "the missing permission in the log", 60)
        meta = client.hgetall(keys.meta(0))
        assert (meta[b"applied"], meta[b"done_entries"], meta.get(b"forgets")) == (b"2", b"1", None)
        assert len(fields_with(client, "gone")) == 3
        client.execute_command("ACL", "SETUSER", "old", "+zrem")
        wait_until(lambda: not folding.behind(client, settings), "the rest", 60)
    finally:
        process.kill()
        client.acl_deluser("old")
    counts = [int(folding.state(client, settings, d, "m")["count"]) for d in ("gone", "kept")]
    assert counts == [1, 2]
    assert_adds_up(status.read(client, settings))


def test_entries_are_sorted_out_up_to_a_tombstone():
    def entry(
        number: int, readings: int, field: bytes, payload: bytes
    ) -> tuple[bytes, list[bytes]]:
        fields = [b"e", b"%d" % number, b"n", b"%d" % readings, field, payload]
        return b"%d-0" % number, fields

    frame, text = pack([block("d", 0)]), Tombstone("r", ("d",)).packed()
    entries = [entry(1, 1, b"r", frame), entry(2, 1, b"f", text), entry(3, 2, b"r", frame)]
    first = sort_out(entries, Counts())
    assert (first.ids, first.forget, first.counts.done) == ([b"1-0"], None, 1)
    second = sort_out(entries[1:], first.counts)
    assert (second.ids, second.columns) == ([b"2-0"], None)
    assert second.forget == Tombstone("r", ("d",))
    assert (second.counts.done_entries, second.counts.done, second.counts.applied) == (2, 1, 1)
    again = sort_out(entries[1:], sort_out(entries[2:], second.counts).counts)
    assert (again.ids, again.forget) == ([b"2-0"], None)


def test_the_rows_of_a_device_leave_the_table():
    table = Table(Shape(Layout((), 3)), 100)
    series = [("gone", "m"), ("gone", "k"), ("kept", "m")]
    unseen = Unseen(series, ["gone", "kept"])
    table.begin_batch()
    new = StoredSeries([UNKNOWN], {})
    table.load(0, unseen, StoredSeries([UNKNOWN] * 3, {}), [None, None])
    table.forget(0, ["gone", "unknown"])
    assert list(table.rows(0)) == [("kept", "m")]
    assert table.find(0, series)[1].series == series[:2]
    assert table.load(0, Unseen([("kept", "k")], ["kept"]), new, [None]) == []
    assert table.load(0, Unseen(series[:1], ["gone"]), new, [None]) == ["gone"]


def test_packs_and_parses_a_tombstone():
    for devices in ((), ("a",), ("a/b:c", "d.e-f_g")):
        for before in ("", "2026-01-01T00:00:00.000Z"):
            tombstone = Tombstone("request", devices, before)
            assert Tombstone.parse(tombstone.packed()) == tombstone
            with pytest.raises(msgspec.MsgspecError):
                msgspec.msgpack.decode(tombstone.packed(), type=list[int])
