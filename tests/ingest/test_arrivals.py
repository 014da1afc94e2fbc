"""The usual request takes the short way; every other one, and the first, are admitted in full."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from ingest.admission import Admission, query_parser
from ingest.arrivals import Arrivals
from ingest.doors.record import QueryStringDoor, RecordDoor
from ingest.tick import Tick
from tributary.auth import tokens
from tributary.auth.guard import Guard, RequestHeaders
from tributary.auth.tokens import Token
from tributary.model import frame
from tributary.settings import Settings

Change = Callable[..., Settings]
NEVER_MS = 4_000_000_000_000
READING = b'{"device":"car-7","a":1}'


class Lane:
    """Arrivals of one client, which sends the same header fields with each request."""

    def __init__(
        self,
        settings: Settings,
        client: redis.Redis,
        token: Token | None = None,
        *,
        takes_singles: bool = True,
        reading: bytes = READING,
        **fields: str,
    ) -> None:
        if token is not None:
            fields["authorization"] = f"Bearer {tokens.create(client, token)}"
        self.head = RequestHeaders(**fields)
        self.guard = Guard(settings, client)
        self.admission = Admission(settings, self.guard)
        self.tick = Tick()
        self.admitted: list[bytes] = []  # in full
        self.door = RecordDoor()
        self.arrivals = Arrivals(
            self.admission, self.tick, self._admit, takes_singles=takes_singles
        )
        self.reading = reading
        for _ in range(2):  # the first one is new, the second one finds the series counted
            self.send(reading)
        self.admitted.clear()
        self.tick.end()

    def _admit(self, door: Any, request: Any, now_ms: int) -> None:
        self.admitted.append(request.body)
        self.admission.admit(door, request, now_ms)

    def send(self, *bodies: bytes, query: bytes = b"") -> None:
        for body in bodies:
            request: Any = SimpleNamespace(head=self.head, query=query_parser(query), body=body)
            self.arrivals.add(self.door, request)
        self.arrivals.admit()

    def takes_the_short_way(self) -> bool:
        self.admitted.clear()
        self.send(self.reading)
        return not self.admitted


def token(**changes: Any) -> Token:
    return Token(**{"id": "a", "name": "", "device": "*", "scopes": ("record",), "created_at_ms": 0,
                    **changes})  # fmt: skip


@pytest.mark.parametrize("given", [None, token()])
def test_a_known_reading_takes_the_short_way(
    settings: Settings, client: redis.Redis, given: Token | None
):
    lane = Lane(settings, client, given)
    lane.send(READING, READING, b'{"device":"car-7","a":2.5}')
    assert not lane.admitted
    shared, keyed = lane.tick.end()
    assert not keyed
    [(sent, requests)] = shared
    assert sent.readings == len(requests.singles) == 3
    assert not requests.sent
    blocks = frame.unpack(sent.packed)
    assert [(device, metrics) for device, _, metrics in blocks] == [
        ("car-7", {"a": 1.0}), ("car-7", {"a": 1.0}), ("car-7", {"a": 2.5}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "given",
    [
        token(device="car-*"),
        token(expires_at_ms=NEVER_MS),
        token(series_max=9),
        token(devices_max=9),
    ],
    ids=["pattern", "expires", "series_max", "devices_max"],
)
def test_a_token_with_limits_is_checked_each_time(
    settings: Settings, client: redis.Redis, given: Token
):
    assert not Lane(settings, client, given).takes_the_short_way()


@pytest.mark.parametrize(
    "limit", [{"rate_per_device": 9.0}, {"rate_per_token": 9.0}, {"series_max": 1}]
)
def test_rates_and_near_caps_are_checked_each_time(
    change: Change, client: redis.Redis, limit: dict[str, float]
):
    lane = Lane(change(**limit), client)
    assert not lane.takes_the_short_way()


@pytest.mark.parametrize(
    ("fields", "reading"),
    [
        ({"idempotency_key": "k"}, READING),
        ({"content_type": "application/x-ndjson"}, READING),
        ({"content_encoding": "gzip"}, gzip.compress(READING)),
    ],
    ids=["key", "lines", "gzip"],
)
def test_header_fields_that_change_the_meaning_are_read_each_time(
    settings: Settings, client: redis.Redis, fields: dict[str, str], reading: bytes
):
    lane = Lane(settings, client, reading=reading, **fields)
    assert not lane.takes_the_short_way()
    assert Lane(settings, client, content_type="application/json").takes_the_short_way()


def test_readings_wait_for_a_replica_where_that_is_promised(
    settings: Settings, client: redis.Redis
):
    assert not Lane(settings, client, takes_singles=False).takes_the_short_way()


def test_a_changed_token_is_looked_up_again(settings: Settings, client: redis.Redis):
    lane = Lane(settings, client, token())
    assert lane.takes_the_short_way()
    tokens.create(client, token(id="b"))
    lane.guard.refresh()
    assert not lane.takes_the_short_way()  # once, to find it in the new table
    assert lane.takes_the_short_way()


@pytest.mark.parametrize(
    "body",
    [
        b'{"device":"car-8","a":1}',  # a new device
        b'{"device":"car-7","b":1}',  # a new metric
        b'[{"device":"car-7","a":1}]',
        b'{"device":"car-7","a":[1,2]}',
        b'{"device":"car-7","a":"1"}',
        b'{"device":"car-7","a":1,"a":2}',
        b"{",
        b"",
    ],
)
def test_every_other_body_is_admitted_in_full(settings: Settings, client: redis.Redis, body: bytes):
    lane = Lane(settings, client)
    seen: list[bytes] = []
    lane.arrivals._admit = lambda _door, request, _now_ms: seen.append(request.body)
    lane.send(body)
    assert seen == [body]


def test_a_query_string_and_other_doors_are_admitted_in_full(
    settings: Settings, client: redis.Redis
):
    lane = Lane(settings, client)
    lane.send(READING, query=b"on_error=skip")
    assert lane.admitted == [READING]
    lane.door = QueryStringDoor()  # type: ignore[assignment]
    lane.send(b"", query=b"device=car-7&a=1")
    assert lane.admitted == [READING, b""]


def test_the_order_of_arrival_is_kept(settings: Settings, client: redis.Redis):
    """A long body is admitted at once, but behind the short ones before it."""
    lane = Lane(settings, client)
    order: list[Any] = []
    add_single = lane.tick.add_single

    class Noting(Tick):
        def add_single(self, *given: Any) -> None:
            order.append("short")
            add_single(*given)

    lane.arrivals._tick = Noting()
    lane.arrivals._admit = lambda _door, request, _now_ms: order.append(len(request.body))
    long = READING.ljust(2_000)
    for body in (READING, long):
        lane.arrivals.add(lane.door, SimpleNamespace(head=lane.head, query={}, body=body))
    assert order == ["short", 2_000]


def test_a_bug_in_the_short_way_affects_only_its_request(
    settings: Settings, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
):
    lane = Lane(settings, client)
    parse = RecordDoor.single.parse

    def buggy(body: bytes, *given: Any) -> Any:
        if body.endswith(b"2}"):
            raise ZeroDivisionError
        return parse(body, *given)

    monkeypatch.setattr(RecordDoor, "single", RecordDoor.single._replace(parse=buggy))
    lane.send(READING, b'{"device":"car-7","a":2}', READING)
    assert lane.admitted == [b'{"device":"car-7","a":2}']
    [(sent, requests)], _ = lane.tick.end()
    assert sent.readings == len(requests.singles) == 2
