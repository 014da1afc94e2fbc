"""The readings of an export are those that the aggregators have applied."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec
import redis
from support import folding, forgetting
from support.exporting import START_MS, Row, columns, exported

from tributary.model.export import Spec
from tributary.model.frame import Block, pack
from tributary.operate import dead_letters
from tributary.operate.exports import Covered
from tributary.settings import Settings
from tributary.store import keys


def test_every_reading_once_in_order_of_arrival(
    change: Callable[..., Settings], client: redis.Redis
):
    settings, random = change(partitions=3), Random(7)
    sent: list[Row] = []
    for number in range(300):
        device, at = f"car-{random.randrange(9)}", START_MS + random.randrange(10**6)
        if number % 3:
            metrics = {m: random.random() for m in random.sample("abc", random.randint(1, 3))}
            block = Block(device, at, dict(metrics))
            sent += [(device, at, metric, value) for metric, value in metrics.items()]
        else:
            values = [random.random() for _ in range(5)]
            block = columns(device, [at + n for n in range(5)], a=values)
            sent += [(device, at + n, "a", value) for n, value in enumerate(values)]
        folding.append(client, settings, [block])
    folding.aggregate(settings, client)
    rows, covered, reports = exported(settings)
    for device in {row[0] for row in sent}:
        assert [r for r in rows if r[0] == device] == [r for r in sent if r[0] == device]
    assert len(rows) == len(sent)
    assert covered.from_ms is None
    assert covered.to_ms is not None
    shares = [report.share for report in reports]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    spec = Spec(
        devices=("car-1", "*-2"), metrics=("a",), from_ms=START_MS, to_ms=START_MS + 500_000
    )
    assert sorted(exported(settings, spec)[0]) == sorted(
        row for row in sent
        if row[0] in ("car-1", "car-2") and row[2] == "a" and row[1] < START_MS + 500_000
    )  # fmt: skip


def test_what_is_not_applied_or_dead_is_left_out(
    change: Callable[..., Settings], client: redis.Redis
):
    settings = change(partitions=1)
    folding.append(client, settings, [Block("a", START_MS, {"m": 1.0})])
    folding.append_packed(client, 0, b"not a frame", 1)
    client.xadd(keys.readings(0), {"foreign": ""})
    folding.append(client, settings, [Block("a", START_MS, {"m": 2.0})])
    folding.aggregate(settings, client)
    folding.append(client, settings, [Block("a", START_MS, {"m": 3.0})])
    assert len(list(dead_letters.read(client, 0))) == 2
    assert [row[3] for row in exported(settings)[0]] == [1.0, 2.0]
    client.delete(keys.buried(0))  # older versions did not write it
    assert [row[3] for row in exported(settings)[0]] == [1.0, 2.0]


def test_of_a_buried_entry_what_was_applied_before(
    change: Callable[..., Settings], client: redis.Redis
):
    """The rest of an entry that is applied in slices, or all of one that could not be folded."""
    settings = change(partitions=1)
    both = [Block("a", START_MS, {"m": 1.0}), Block("a", START_MS, {"m": 2.0})]
    first = folding.append(client, settings, both)
    second = folding.append(client, settings, [Block("a", START_MS, {"m": 3.0})])
    folding.append(client, settings, [Block("a", START_MS, {"m": 4.0})])
    folding.aggregate(settings, client)
    for entry, applied in ((first, 1), (second, 0)):
        client.zadd(keys.buried(0), {b"%b %d" % (entry, applied): 1})
    assert [row[3] for row in exported(settings)[0]] == [1.0, 4.0]


def test_a_replayed_entry_once(change: Callable[..., Settings], client: redis.Redis):
    settings = change(partitions=1)
    frame = pack([Block("a", START_MS, {"m": 1.0})])
    buried = folding.append_packed(client, 0, frame, 1)
    folding.aggregate(settings, client)
    # As if it had been buried by a bug that is fixed now.
    client.zadd(keys.buried(0), {b"%b 0" % buried: 1})
    fields = msgspec.msgpack.encode([b"e", b"1", b"n", b"1", b"r", frame])
    dead = {"id": buried, "reason": "test", "readings": 1, "fields": fields}
    client.xadd(keys.dead(0), dead)
    entries = list(dead_letters.read(client, 0))
    assert dead_letters.replay(client, settings, entries)[0] == 1
    folding.aggregate(settings, client)
    assert [row[3] for row in exported(settings)[0]] == [1.0]


def test_an_entry_that_is_begun_waits(change: Callable[..., Settings], client: redis.Redis):
    settings = change(partitions=1)
    folding.append(client, settings, [Block("a", START_MS, {"m": 1.0})])
    begun = folding.append(client, settings, [Block("a", START_MS, {"m": 2.0})])
    folding.append(client, settings, [Block("a", START_MS, {"m": 3.0})])
    folding.aggregate(settings, client)
    client.hset(keys.meta(0), "progress", b"%b 0" % begun)
    assert [row[3] for row in exported(settings)[0]] == [1.0]


def test_covered_begins_behind_what_was_trimmed(
    change: Callable[..., Settings], client: redis.Redis
):
    settings = change(partitions=2)
    ids = [
        folding.append(client, settings, [Block("a", START_MS, {"m": float(n)})]) for n in range(9)
    ]
    folding.aggregate(settings, client)
    partition = keys.partition_of("a", 2)
    client.xtrim(keys.readings(partition), minid=ids[4], approximate=False)
    client.xdel(keys.readings(partition), ids[6])  # forgotten, which loses nothing else
    rows, covered, _ = exported(settings)
    assert [row[3] for row in rows] == [4.0, 5.0, 7.0, 8.0]
    assert covered == Covered(int(ids[4].split(b"-")[0]), int(ids[8].split(b"-")[0]))
    client.xtrim(keys.readings(partition), maxlen=0, approximate=False)
    assert exported(settings)[0:2] == ([], Covered(covered.to_ms, covered.to_ms))


def test_a_device_that_is_forgotten_is_left_out_while_the_stream_has_it(
    change: Callable[..., Settings], client: redis.Redis
):
    settings = change(partitions=1)
    for number, device in enumerate("aabab"):
        folding.append(client, settings, [Block(device, START_MS, {"m": float(number)})])
        if number == 2:
            forgetting.append(client, 0, ["a"])
    folding.aggregate(settings, client)
    assert [row[3] for row in exported(settings)[0]] == [2.0, 3.0, 4.0]
