"""Each script that runs inside Redis, one behavior per test."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable

import pytest
import redis
from support.processes import ROOT, Server

from tributary.store import keys, scripts

STREAM, META = keys.readings(0), keys.meta(0)
PACKAGES = ("ingest", "aggregator", "api", "tributary")


@pytest.fixture(params=["", "redis-server"], ids=["valkey", "redis"])
def client(request: pytest.FixtureRequest, own_server: Callable[..., Server]) -> redis.Redis:
    if request.param and shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return own_server(binary=request.param).client


def append(
    client: redis.Redis, readings: int = 1, frame: bytes = b"f", cap: int = 1000
) -> list[int]:
    command = scripts.append([(0, readings, frame)], max_entries=str(cap), unread_max="0")
    return scripts.run(client, command)


def begin(client: redis.Redis, epoch: str = "e1") -> tuple[bytes, bytes]:
    """Begin a tenure; the last entry delivered before, and the one that is begun."""
    delivered, begun, meta = scripts.run(client, scripts.begin_tenure(0, new_epoch=epoch))
    assert dict(zip(meta[::2], meta[1::2], strict=True)) == client.hgetall(META)
    assert client.hget(META, "epoch") == epoch.encode()
    return delivered, begun[0] if begun else b""


def read(client: redis.Redis, group: str = keys.GROUP, count: int = 100) -> list[bytes]:
    is_former = group == keys.FORMER_GROUP
    reply = client.xreadgroup(group, "w", {STREAM: ">"}, count, noack=not is_former)
    return [id_ for id_, _ in reply[0][1]] if reply else []


def commit(client: redis.Redis, epoch: str, new: str, **lists: list) -> bytes:
    meta = ["epoch", new, *lists.pop("meta", [])]
    command = scripts.commit(0, epoch=epoch, dead_max_entries=100, meta=meta, **lists)
    return scripts.run(client, command)


def count_lost(client: redis.Redis, epoch: str, new: str) -> list[int] | bytes:
    return scripts.run(client, scripts.count_lost(0, epoch=epoch, new_epoch=new))


def test_append_numbers_entries_and_readings(client: redis.Redis):
    assert [append(client, 3), append(client, 2)] == [[1, 3], [2, 5]]
    (_, first), (_, second) = client.xrange(STREAM)
    assert first == {b"e": b"1", b"n": b"3", b"r": b"f"}
    assert second == {b"e": b"2", b"n": b"5", b"r": b"f"}
    assert client.hgetall(META) == {b"entries": b"2", b"accepted": b"5"}


def test_append_keeps_the_stream_near_its_cap(client: redis.Redis):
    for _ in range(500):
        append(client, cap=200)
    assert 200 <= client.xlen(STREAM) <= 200 + 100 + 32  # a node of the stream, and no trimming


def test_commit_applies_everything_at_once(client: redis.Redis):
    append(client)
    begin(client)
    ids = read(client)
    lists = {
        "meta": ["hwm", ids[0]], "rows": ["s", b"1"], "beyond": ["s", b"2"],
        "chunks": [("tributary:{0}:state:0", 4, b"ab"), ("tributary:{0}:rings:0", 1, b"c"),
                   ("tributary:{0}:state:0", 1, b"d")],
        "latest": ["d", b"{}"], "devices": ["0", "d"], "dead": [b"1-1", "why", "3", b"x", "2"],
    }  # fmt: skip
    assert commit(client, "e1", "e2", **lists) == b"ok"
    assert client.hget(META, "epoch") == b"e2"
    assert client.hget(META, "hwm") == ids[0]
    assert client.hget(keys.rows(0), "s") == b"1"
    assert client.hget(keys.beyond(0), "s") == b"2"
    assert client.get("tributary:{0}:state:0") == b"\0d\0\0ab"
    assert client.get("tributary:{0}:rings:0") == b"\0c"
    assert client.hget(keys.latest(0), "d") == b"{}"
    assert client.zrange(keys.devices(0), 0, -1) == [b"d"]
    ((_, dead),) = client.xrange(keys.dead(0))
    assert dead == {b"id": b"1-1", b"reason": b"why", b"readings": b"3", b"fields": b"x"}


def test_buried_entries_are_remembered_while_the_stream_has_them(client: redis.Redis):
    append(client)
    append(client)
    begin(client)
    ids = read(client)
    dead = [part for id_ in ids for part in (id_, "why", "1", b"x", "3")]
    assert commit(client, "e1", "e2", dead=dead) == b"ok"
    assert client.zrange(keys.buried(0), 0, -1) == [id_ + b" 3" for id_ in ids]
    later = f"{int(ids[1].split(b'-')[0]) + 1}-0"
    client.xtrim(STREAM, maxlen=0, approximate=False)
    client.xadd(STREAM, {"e": 3, "n": 3, "r": "f"}, id=later)
    assert read(client) == [later.encode()]
    dead = [later, "why", "1", b"x", "0"]
    assert commit(client, "e2", "e3", dead=dead) == b"ok"
    assert client.zrange(keys.buried(0), 0, -1) == [f"{later} 0".encode()]


@pytest.mark.parametrize(
    ("done", "archived", "reply"),
    [(5, 5, [11, 11]), (1, 5, [-1, 0]), (5, 1, [-3, 0]), (5, None, [-3, 0]), (2, 2, [11, 11])],
)
def test_entries_that_are_not_in_the_history_count_as_backlog_if_required(
    client: redis.Redis, done: int, archived: int | None, reply: list[int]
):
    for _ in range(10):
        append(client)
    client.hset(META, "done_entries", done)
    if archived is not None:
        client.hset(META, "archived_entries", archived)
    command = scripts.append([(0, 1, b"f")], max_entries="1000", unread_max="-9")
    assert scripts.run(client, command) == reply
    assert client.hget(META, "refused") == (b"1" if reply[0] < 0 else None)


def test_commit_is_rejected_after_another_owner_has_committed(client: redis.Redis):
    append(client)
    begin(client)
    assert commit(client, "e1", "e2", rows=["s", b"1"]) == b"ok"
    assert commit(client, "e1", "e3", rows=["s", b"2"]) == b"epoch"
    assert client.hget(keys.rows(0), "s") == b"1"


def test_commit_takes_more_arguments_than_lua_can_spread(client: redis.Redis):
    begin(client)
    state = [part for n in range(9000) for part in (f"s{n}", b"x")]
    assert commit(client, "e1", "e2", rows=state) == b"ok"
    assert client.hlen(keys.rows(0)) == 9000


def test_commit_writes_nothing_when_a_key_is_of_another_type(client: redis.Redis):
    append(client)
    begin(client)
    client.set(keys.latest(0), "x")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        commit(client, "e1", "e2", rows=["s", b"1"], latest=["d", b"{}"])
    assert client.hget(META, "epoch") == b"e1"
    assert not client.exists(keys.rows(0))


def test_a_full_server_rejects_appends_and_still_commits(client: redis.Redis):
    append(client)
    begin(client)
    client.config_set("maxmemory", "1")
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        append(client)
    assert commit(client, "e1", "e2", rows=["s", b"1"]) == b"ok"
    client.config_set("maxmemory", "0")
    assert client.hget(META, "entries") == b"1"


@pytest.mark.parametrize("group", ["", keys.GROUP, keys.FORMER_GROUP])
def test_a_tenure_begins_behind_the_last_entry_applied(client: redis.Redis, group: str):
    """Whichever group there is, and wherever it is."""
    for _ in range(4):
        append(client)
    ids = [id_ for id_, _ in client.xrange(STREAM)]
    client.hset(META, "hwm", ids[1])
    if group:
        client.xgroup_create(STREAM, group, "0")
        assert read(client, group, 3) == ids[:3]
    assert begin(client) == (ids[2] if group else b"", b"")
    assert read(client) == ids[2:]
    assert [each["name"] for each in client.xinfo_groups(STREAM)] == [keys.GROUP.encode()]
    assert begin(client, "e2") == (ids[3], b"")


def test_an_owner_that_reads_and_commits_leaves_nothing_in_the_group(client: redis.Redis):
    append(client)
    begin(client)
    (id_,) = read(client)
    assert client.xinfo_groups(STREAM)[0]["pending"] == 0
    assert count_lost(client, "e1", "e2") == b"moved"
    assert commit(client, "e1", "e2", meta=["hwm", id_, "done_entries", "1", "done", "1"]) == b"ok"
    assert count_lost(client, "e2", "e3") == [0, 0]


def test_a_tenure_returns_the_entry_that_is_begun_or_counts_its_rest_as_lost(client: redis.Redis):
    append(client, 5)
    append(client)
    first, second = (id_ for id_, _ in client.xrange(STREAM))
    begun = {"hwm": second, "begun": 3, "begun_entry": 1, "progress": first + b" 2"}
    client.hset(META, mapping=begun)
    assert begin(client)[1] == first
    assert read(client) == []
    client.xdel(STREAM, first)
    assert begin(client, "e2")[1] == b""
    assert client.hmget(META, "begun", "progress", "lost", "lost_entries") == [
        b"0",
        b"",
        b"3",
        b"1",
    ]
    assert client.zrange(keys.buried(0), 0, -1) == [first + b" 2"]


def test_after_a_deleted_stream_no_id_is_issued_twice(client: redis.Redis):
    client.hset(META, "hwm", "99999999999999-7")
    begin(client)
    append(client)
    ((id_, _),) = client.xrange(STREAM)
    assert id_ == b"99999999999999-8"
    assert read(client) == [id_]


def test_entries_trimmed_unread_are_counted_as_lost(client: redis.Redis):
    for _ in range(5):
        append(client, 2)
    begin(client)
    client.xtrim(STREAM, maxlen=0, approximate=False)
    assert count_lost(client, "e1", "e2") == [5, 10]
    assert client.hmget(META, "lost_entries", "lost", "done", "epoch") == [
        b"5",
        b"10",
        b"10",
        b"e2",
    ]
    assert count_lost(client, "e2", "e3") == [0, 0]
    assert count_lost(client, "e1", "e3") == b"epoch"


def test_nothing_is_counted_as_lost_while_an_entry_can_be_read(client: redis.Redis):
    append(client)
    append(client)
    begin(client)
    client.xtrim(STREAM, maxlen=1, approximate=False)
    assert count_lost(client, "e1", "e2") == [0, 0]


def test_heartbeats_use_the_clock_of_the_server(client: redis.Redis):
    def beat(worker: str) -> list:
        return scripts.run(client, scripts.heartbeat(worker, forget_after_ms=60_000))

    assert beat("a") == [b"a", 0]
    client.zadd(keys.WORKERS, {"long-gone": 1})
    members = beat("b")
    assert members[0::2] == [b"a", b"b"]
    assert scripts.run(client, scripts.alive())[0::2] == [b"a", b"b"]


def test_a_script_that_redis_has_forgotten_is_sent_with_its_source(client: redis.Redis):
    client.script_flush()
    command = scripts.append([(0, 1, b"f")], max_entries="9", unread_max="0")
    replies = scripts.execute(client, [command, command], ("PING",))
    assert replies == [[1, 1], [2, 2], True]
    assert client.script_exists(scripts.SCRIPTS["append"].sha) == [True]


def test_every_script_is_called_by_its_function_only():
    """KEYS and ARGV have one order, and NOSCRIPT one rule."""
    rule = re.compile(r"EVALSHA|evalsha|NOSCRIPT|NoScript")
    code = [path for part in PACKAGES for path in (ROOT / part).rglob("*.py")]
    found = {path.relative_to(ROOT) for path in code if rule.search(path.read_text())}
    assert {str(path) for path in found} == {
        "tributary/store/scripts.py",
        "tributary/store/acl.py",  # the permission
    }
