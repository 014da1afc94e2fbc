"""The scripts that run inside Redis, one promise at a time."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import chain

import pytest
import redis
from support.processes import Server

from tributary.store import keys
from tributary.store.scripts import APPEND, COMMIT, FORGET, HEARTBEAT, REGROUP, SETTLE

STREAM, META = keys.readings(0), keys.meta(0)
COMMIT_KEYS = (
    STREAM,
    META,
    keys.state(0),
    keys.windows(0),
    keys.latest(0),
    keys.devices(0),
    keys.dead(0),
)


@pytest.fixture(params=["", "redis-server"], ids=["valkey", "redis"])
def client(request: pytest.FixtureRequest, own_server: Callable[..., Server]) -> redis.Redis:
    if request.param and shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return own_server(binary=request.param).client


def append(
    client: redis.Redis, readings: int = 1, frame: bytes = b"f", cap: int = 1000
) -> list[int]:
    return client.eval(APPEND.source, 2, STREAM, META, cap, 0, readings, frame)


def regroup(client: redis.Redis, epoch: str = "e1") -> int:
    return client.eval(REGROUP.source, 2, STREAM, META, keys.GROUP, epoch)


def read(client: redis.Redis, worker: str = "w", count: int = 100) -> list[bytes]:
    reply = client.xreadgroup(keys.GROUP, worker, {STREAM: ">"}, count)
    return [id_ for id_, _ in reply[0][1]] if reply else []


def commit(client: redis.Redis, ids: list[bytes], epoch: str, new: str, **lists: list) -> bytes:
    meta = ["epoch", new, *lists.get("meta", [])]
    parts = [
        lists.get("begun", []),
        ids,
        meta,
        *(lists.get(k, []) for k in ("state", "windows", "latest", "devices", "dead")),
    ]
    arguments = [
        keys.GROUP,
        epoch,
        100,
        *(len(part) for part in parts),
        *chain.from_iterable(parts),
    ]
    return client.eval(COMMIT.source, 7, *COMMIT_KEYS, *arguments)


def test_append_numbers_entries_and_readings(client: redis.Redis):
    assert [append(client, 3), append(client, 2)] == [[1, 3], [2, 5]]
    (_, first), (_, second) = client.xrange(STREAM)
    assert first == {b"e": b"1", b"n": b"3", b"r": b"f"}
    assert second == {b"e": b"2", b"n": b"5", b"r": b"f"}
    assert client.hgetall(META) == {b"entries": b"2", b"accepted": b"5"}


def test_append_keeps_the_stream_near_its_cap(client: redis.Redis):
    for _ in range(500):
        append(client, cap=200)
    assert 200 <= client.xlen(STREAM) <= 300


def test_commit_applies_everything_at_once(client: redis.Redis):
    append(client)
    regroup(client)
    ids = read(client)
    lists = {
        "meta": ["hwm", ids[0]], "state": ["s", b"1"], "windows": ["s", b"2"],
        "latest": ["d", b"{}"], "devices": ["0", "d"], "dead": [b"1-1", "why", "3", b"x"],
    }  # fmt: skip
    assert commit(client, ids, "e1", "e2", **lists) == b"ok"
    assert client.xpending(STREAM, keys.GROUP)["pending"] == 0
    assert client.hget(META, "epoch") == b"e2"
    assert client.hget(META, "hwm") == ids[0]
    assert client.hget(keys.state(0), "s") == b"1"
    assert client.hget(keys.windows(0), "s") == b"2"
    assert client.hget(keys.latest(0), "d") == b"{}"
    assert client.zrange(keys.devices(0), 0, -1) == [b"d"]
    ((_, dead),) = client.xrange(keys.dead(0))
    assert dead == {b"id": b"1-1", b"reason": b"why", b"readings": b"3", b"fields": b"x"}


def test_commit_is_refused_after_somebody_else_has_committed(client: redis.Redis):
    append(client)
    regroup(client)
    ids = read(client)
    assert commit(client, ids, "e1", "e2", state=["s", b"1"]) == b"ok"
    assert commit(client, ids, "e1", "e3", state=["s", b"2"]) == b"epoch"
    assert client.hget(keys.state(0), "s") == b"1"


def test_commit_is_refused_while_an_older_entry_is_pending(client: redis.Redis):
    append(client)
    append(client)
    regroup(client)
    read(client, "somebody", 1)
    ids = read(client)
    assert commit(client, ids, "e1", "e2", state=["s", b"1"]) == b"order"
    assert not client.exists(keys.state(0))


def test_commit_takes_more_arguments_than_lua_can_spread(client: redis.Redis):
    for _ in range(9000):
        append(client, cap=100_000)
    regroup(client)
    ids = read(client, count=9000)
    state = [part for n in range(9000) for part in (f"s{n}", b"x")]
    assert commit(client, ids, "e1", "e2", state=state) == b"ok"
    assert client.hlen(keys.state(0)) == 9000
    assert client.xpending(STREAM, keys.GROUP)["pending"] == 0


def test_commit_writes_nothing_when_a_key_is_of_another_type(client: redis.Redis):
    append(client)
    regroup(client)
    ids = read(client)
    client.set(keys.latest(0), "x")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        commit(client, ids, "e1", "e2", state=["s", b"1"], latest=["d", b"{}"])
    assert client.hget(META, "epoch") == b"e1"
    assert not client.exists(keys.state(0))
    assert client.xpending(STREAM, keys.GROUP)["pending"] == 1


def test_a_full_server_refuses_to_append_and_still_commits(client: redis.Redis):
    append(client)
    regroup(client)
    ids = read(client)
    client.config_set("maxmemory", "1")
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        append(client)
    assert commit(client, ids, "e1", "e2", state=["s", b"1"]) == b"ok"
    client.config_set("maxmemory", "0")
    assert client.hget(META, "entries") == b"1"


def test_regroup_starts_where_the_aggregates_stand(client: redis.Redis):
    for _ in range(3):
        append(client)
    ids = [id_ for id_, _ in client.xrange(STREAM)]
    client.hset(META, "hwm", ids[1])
    assert regroup(client) == 1
    assert read(client) == [ids[2]]


def test_regroup_leaves_a_group_and_its_epoch_alone(client: redis.Redis):
    assert regroup(client, "e1") == 1
    assert regroup(client, "e2") == 0
    assert client.hget(META, "epoch") == b"e1"


def test_after_a_deleted_stream_no_id_is_issued_twice(client: redis.Redis):
    client.hset(META, "hwm", "99999999999999-7")
    regroup(client)
    append(client)
    ((id_, _),) = client.xrange(STREAM)
    assert id_ == b"99999999999999-8"
    assert read(client) == [id_]


def test_settle_counts_what_was_trimmed_unread(client: redis.Redis):
    for _ in range(5):
        append(client, 2)
    regroup(client)
    client.xtrim(STREAM, maxlen=0, approximate=False)
    arguments = (2, STREAM, META, keys.GROUP)
    assert client.eval(SETTLE.source, *arguments, "e1", "e2") == [5, 10]
    assert client.hmget(META, "lost_entries", "lost", "done", "epoch") == [
        b"5",
        b"10",
        b"10",
        b"e2",
    ]
    assert client.eval(SETTLE.source, *arguments, "e2", "e3") == [0, 0]
    assert client.eval(SETTLE.source, *arguments, "e1", "e3") == b"epoch"


def test_settle_counts_nothing_while_something_can_still_be_read(client: redis.Redis):
    append(client)
    append(client)
    regroup(client)
    client.xtrim(STREAM, maxlen=1, approximate=False)
    assert client.eval(SETTLE.source, 2, STREAM, META, keys.GROUP, "e1", "e2") == [0, 0]


def test_only_consumers_that_hold_nothing_are_forgotten(client: redis.Redis):
    regroup(client)
    append(client)
    held = read(client, "holds one")
    for name in ("asks", "gone", "gone before"):
        client.xgroup_createconsumer(STREAM, keys.GROUP, name)
    assert client.eval(FORGET.source, 1, STREAM, keys.GROUP, "asks") == 2
    left = {c["name"]: c["pending"] for c in client.xinfo_consumers(STREAM, keys.GROUP)}
    assert left == {b"asks": 0, b"holds one": 1}
    assert client.xpending_range(STREAM, keys.GROUP, "-", "+", 9)[0]["message_id"] == held[0]


def test_heartbeats_are_kept_by_the_clock_of_the_server(client: redis.Redis):
    assert client.eval(HEARTBEAT.source, 1, keys.WORKERS, "a", 60_000) == [b"a", 0]
    client.zadd(keys.WORKERS, {"long-gone": 1})
    members = client.eval(HEARTBEAT.source, 1, keys.WORKERS, "b", 60_000)
    assert members[0::2] == [b"a", b"b"]
    assert client.eval(HEARTBEAT.source, 1, keys.WORKERS, "", 0)[0::2] == [b"a", b"b"]
