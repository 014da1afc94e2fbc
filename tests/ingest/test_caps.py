"""Caps on series and devices: at a cap new ones are rejected, existing ones never."""

from __future__ import annotations

import itertools
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import redis
from support import forgetting
from support.pipeline import environ
from support.processes import Process, Reply
from support.waiting import wait_until
from support.webs import Web

from ingest.batch import Batch
from ingest.caps import Caps
from tributary.auth import refusals, tokens
from tributary.auth.refusals import Refusal
from tributary.auth.tokens import Token
from tributary.errors import Refused, Unavailable
from tributary.model.frame import Block
from tributary.settings import Settings
from tributary.store import keys

Start = Callable[..., Web]
Change = Callable[..., Settings]


@pytest.fixture(params=[True, False], ids=["lane", "flask"])
def start(
    request: pytest.FixtureRequest, change: Callable[..., Settings], run: Callable[..., Process]
) -> Iterator[Start]:
    """Start ingest and an aggregator under some caps."""
    started: list[Web] = []

    def with_caps(**caps: Any) -> Web:
        settings = change(lane=request.param, partitions=4, **caps)
        started.append(Web(settings))
        run("aggregator", environ=environ(settings))
        return started[-1]

    yield with_caps
    for web in started:
        web.close()


def series_of(client: redis.Redis) -> int:
    return sum(client.hlen(keys.rows(p)) for p in range(4))


def is_rejected(reply: Reply) -> bool:
    assert reply.status in (200, 422), reply
    if reply.status == 422:
        assert reply.code == "too_many_series"
        assert "_MAX" in reply.json["error"]["message"] or "_max" in reply.json["error"]["message"]
    return reply.status == 422


def test_rejects_series_over_the_cap_but_no_existing_ones(start: Start, client: redis.Redis):
    web = start(series_max=10)
    replies = [web.record({"device": f"d-{n}", "a": n, "b": n}) for n in range(12)]
    assert [is_rejected(reply) for reply in replies] == [False] * 5 + [True] * 7
    wait_until(lambda: series_of(client) == 10, "ten series")
    for n in range(5):
        assert web.record({"device": f"d-{n}", "a": 1, "b": 2}).status == 200
    assert is_rejected(web.record({"device": "d-0", "c": 1}))
    assert web.record({"device": "d-0", "a": 1}).status == 200
    refusal = Refusal("422", "too_many_series", "record")
    wait_until(  # across the deployment
        lambda: refusals.totals(client).get(refusal) == 8, "the rejections to be counted"
    )
    labels = b'code="too_many_series",door="record",status="422"'
    assert b"tributary_requests_refused_total{%b} 8.0" % labels in scraped(web)


def test_forgotten_series_make_room_and_are_new_when_they_return(start: Start, client: redis.Redis):
    web = start(series_max=10)
    for n in range(5):
        assert web.record({"device": f"d-{n}", "a": 1, "b": 2}).status == 200
    wait_until(lambda: series_of(client) == 10, "ten series")
    wait_until(lambda: is_rejected(web.record({"device": "d-new", "a": 1})), "the cap")
    forgetting.append(client, keys.partition_of("d-0", 4), ["d-0"])
    wait_until(lambda: web.record({"device": "d-new", "a": 1, "b": 2}).status == 200, "room")
    wait_until(lambda: series_of(client) == 10, "ten series")
    wait_until(lambda: is_rejected(web.record({"device": "d-0", "a": 1})), "the cap")
    assert web.record({"device": "d-1", "a": 1}).status == 200


def scraped(web: Web) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{web.port}/metrics") as response:
        body: bytes = response.read()
        return body


JSON, LINES = "application/json", "application/x-ndjson"
FORMATS: list[Callable[[str, list[str]], tuple[Any, str]]] = [
    lambda device, names: ({"device": device} | dict.fromkeys(names, 1), JSON),
    lambda device, names: ([{"device": device, name: 1} for name in names], JSON),
    lambda device, names: (
        {"device": device, "recorded_at": [1e9, 1e9 + 1]} | {name: [1, 2] for name in names},
        JSON,
    ),
    lambda device, names: (
        "\n".join(json.dumps({"device": device, name: 1}) for name in names).encode(),
        LINES,
    ),
]


def test_counts_new_pairs_of_known_devices_and_metrics_in_any_format(
    start: Start, client: redis.Redis
):
    """The aggregator lags behind, so that only the accepting process can count them."""
    web = start(series_max=200)
    assert web.record([{"device": f"d-{n}", "m0": 1} for n in range(20)]).status == 200
    assert web.record({"device": "all"} | {f"m{n}": 1 for n in range(50)}).status == 200
    wait_until(lambda: series_of(client) == 70, "the devices and the metrics to exist")
    accepted: set[tuple[int, int]] = set()

    def send() -> bool:
        for first, device in itertools.product(range(1, 50, 3), range(20)):
            names = [f"m{n}" for n in range(first, first + 3)]
            body, kind = FORMATS[device % len(FORMATS)](f"d-{device}", names)
            if not is_rejected(web.record(body, Content_Type=kind)):
                accepted.add((device, first))
        return len(accepted) >= 43  # three series each, of the 130 that there is room for

    # Series admitted in the last second count twice until the next refresh.
    wait_until(send, "the room to be filled")
    assert len(accepted) == 43
    wait_until(lambda: series_of(client) == 199, "what was accepted")


def test_series_that_were_not_stored_are_new_the_next_time(start: Start, client: redis.Redis):
    for partition in range(4):
        client.hset(keys.meta(partition), mapping={"entries": 100, "done_entries": 0})
    web = start(overflow="refuse", stream_max_entries=100, new_series_per_second=1)
    for _ in range(2):
        for n in range(3):  # if the first used up its rate, the others would have to wait
            assert web.record({"device": "d", f"m{n}": 1}).code == "backlog_full"


def test_rejects_devices_over_the_cap(start: Start, client: redis.Redis):
    web = start(devices_max=3)
    replies = [web.record({"device": f"d-{n}", "a": n}) for n in range(6)]
    assert [is_rejected(reply) for reply in replies] == [False] * 3 + [True] * 3
    wait_until(lambda: series_of(client) == 3, "three series")
    assert web.record({"device": "d-1", "another": 1}).status == 200


SKIPPED: dict[str, tuple[Any, str, list[int]]] = {
    "array of several partitions": (
        [{"device": d, "a": 1} for d in ("new", "d-2", "d-0", "newer", "d-1", "new", "d-3")],
        JSON,
        [0, 3, 5],
    ),
    "array with another error": (
        [{"device": "d-0", "a": None}, {"device": "new", "a": 1}, {"b": "x"}, {"a": 1}],
        JSON,
        [0, 1, 2, 3],
    ),
    "array of different readings": (
        [{"device": "d-0", "a": 1}, {"device": "d-0", "b": 1}, {"device": "new", "a": 1, "c": 2}],
        JSON,
        [1, 2],
    ),
    "column": ({"device": "d-0", "b": [1, None, 3]}, JSON, [0, 1, 2]),
    "lines": (
        b'{"device":"d-3","a":1}\n{\n\n{"device":"new","a":1}\n',
        LINES,
        [1, 2],
    ),
    "single": ({"device": "new", "a": 1}, JSON, [0]),
}


def test_rejects_a_whole_batch_or_skips_only_its_new_series(start: Start, client: redis.Redis):
    web = start(series_max=4)
    known = [{"device": f"d-{n}", "a": n} for n in range(4)]
    assert web.record(known).status == 200
    wait_until(lambda: series_of(client) == 4, "four series")
    both = [*known, {"device": "new", "a": 1}]
    assert is_rejected(web.record(both))
    skipped = web.record(both, query="?on_error=skip")
    assert skipped.status == 200
    assert skipped.json["accepted"] == 4
    assert [each["code"] for each in skipped.json["rejected"]] == ["too_many_series"]
    assert web.record({"device": "d-1", "recorded_at": [1e9, 1e9 + 1], "a": [1, 2]}).status == 200
    assert is_rejected(web.record({"device": "d-1", "recorded_at": [1e9, 1e9 + 1], "z": [1, 2]}))
    assert series_of(client) == 4
    for name, (body, kind, indices) in SKIPPED.items():
        reply = web.record(body, query="?on_error=skip", Content_Type=kind)
        assert [each["index"] for each in reply.json["rejected"]] == indices, name


def test_limits_a_token_with_a_cap(start: Start, client: redis.Redis):
    token = Token("capped", "", "*", ("record",), 0, series_max=3, devices_max=2)
    secret = tokens.create(client, token)
    other = tokens.create(client, Token("other", "", "*", ("record",), 0))
    web = start()
    assert not is_rejected(web.record({"device": "a", "m": 1, "n": 1}, secret))
    assert not is_rejected(web.record({"device": "b", "m": 1}, secret))
    assert is_rejected(web.record({"device": "b", "n": 1}, secret))
    assert is_rejected(web.record({"device": "c", "m": 1}, secret))
    assert not is_rejected(web.record({"device": "c", "m": 1}, other))
    wait_until(lambda: series_of(client) == 4, "four series")
    assert not is_rejected(web.record({"device": "c", "m": 2}, secret))
    wait_until(
        lambda: client.hget(keys.TOKEN_USE, "capped:series") == b"3", "its use to be counted"
    )
    again = Web(web.settings)
    try:
        assert is_rejected(again.record({"device": "new", "m": 1}, secret))
        assert not is_rejected(again.record({"device": "a", "m": 3}, secret))
    finally:
        again.close()


class Gone:
    """A client whose server is gone."""

    def pipeline(self, *, transaction: bool) -> None:
        raise redis.ConnectionError("gone")


def test_keeps_the_use_of_a_token_while_redis_is_unavailable(
    change: Callable[..., Settings], client: redis.Redis
):
    caps = Caps(change(partitions=4))
    token = Token("t", "", "*", ("record",), 0, series_max=1)
    caps.refresh(client)
    admit(caps, "a", token)
    with pytest.raises(Unavailable):
        caps.refresh(cast(redis.Redis, Gone()))
    for _ in range(2):
        with pytest.raises(Refused, match="token t may have no more series"):
            admit(caps, "b", token)
        caps.refresh(client)
    assert client.hget(keys.TOKEN_USE, "t:series") == b"1"


def test_refreshes_while_requests_are_checked(change: Callable[..., Settings], client: redis.Redis):
    caps = Caps(change(partitions=4, series_max=1))
    for partition in range(4):
        client.hset(keys.meta(partition), mapping={"entries": 5, "done_entries": 0})
    admit(caps, "a", None)
    done = threading.Event()

    def refresh() -> None:
        while not done.is_set():
            caps.refresh(client)

    thread = threading.Thread(target=refresh)
    thread.start()
    try:
        for _ in range(20_000):
            with pytest.raises(Refused):
                admit(caps, "b", None)
    finally:
        done.set()
        thread.join()


def admit(caps: Caps, device: str, token: Token | None) -> None:
    """Admit a reading of a device that does not exist in Redis."""
    accepted = Batch({0: [Block(device, 1, {"m": 1.0})]}, 1, is_batch=False)
    lookup = caps.lookup(accepted, token)
    assert lookup is not None
    caps.settle(accepted, lookup, [[None], [None], [None]])
