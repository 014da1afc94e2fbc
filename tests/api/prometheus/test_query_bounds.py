"""What a query may read, how long it may run, and how many run at a time is bounded."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from support import folding
from support.waiting import wait_until

from api.prometheus import bounds, gate, promql
from api.prometheus.bounds import Deadline
from api.prometheus.evaluate import Evaluator
from api.prometheus.gate import Gate
from api.prometheus.resolution import Steps
from api.prometheus.series_index import SeriesIndex
from api.prometheus.vectors import Value
from api.read import handlers
from api.read.series_reader import SeriesReader
from tributary.auth.tokens import Token
from tributary.errors import Overloaded, Refused
from tributary.model.clock import utc_ms
from tributary.model.frame import Block
from tributary.settings import Settings

DEVICES = [f"car-{number}" for number in range(6)]
TOKEN, OTHER = (Token(name, "", "*", ("collect",), 0) for name in "ab")


@pytest.fixture
def reader(settings: Settings, client: redis.Redis) -> SeriesReader:
    now_ms = utc_ms()
    for device in DEVICES:
        folding.append(client, settings, [Block(device, now_ms, {"speed": 1.0, "depth": 2.0})])
    folding.aggregate(settings, client)
    return handlers.make_reader(settings, client)


def evaluate(reader: SeriesReader, query: str, times: int = 1, run_ms: int = 60_000) -> Value:
    last_ms = utc_ms()
    steps = Steps(last_ms - (times - 1) * 1000, last_ms, 1000 if times > 1 else 0)
    index = SeriesIndex(reader, None, Deadline.after(run_ms))
    return Evaluator(promql.parse(query), steps, index).run()


def test_series_and_values_of_a_query(reader: SeriesReader, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bounds, "SERIES_MAX", 12)
    assert isinstance(both := evaluate(reader, "speed + depth"), list)
    assert len(both) == len(DEVICES)
    with pytest.raises(Refused, match="more than 12 series") as refused:
        evaluate(reader, "speed + depth + speed")
    assert (refused.value.status, refused.value.code) == (422, "execution")
    monkeypatch.setattr(bounds, "SAMPLES_MAX", 600)
    evaluate(reader, "speed", 100)
    with pytest.raises(Refused, match="more than 5 series at 101 times"):
        evaluate(reader, "speed", 101)


def test_devices_that_are_searched(reader: SeriesReader, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.prometheus.series_index._PAGE", 2)
    assert isinstance(found := evaluate(reader, 'speed{device=~".*[45]"}'), list)
    assert [dict(element.labels)["device"] for element in found] == DEVICES[4:]
    monkeypatch.setattr(bounds, "DEVICES_MAX", 4)
    evaluate(reader, 'speed{device="car-5"}')
    evaluate(reader, 'speed{device=~"car-4|car-5"}')
    with pytest.raises(Refused, match="more than 4 devices") as refused:
        evaluate(reader, 'speed{device=~".*5"}')
    assert refused.value.status == 422


def test_the_time_of_a_query(reader: SeriesReader):
    with pytest.raises(bounds.QueryTimeout, match="longer than 0 ms"):
        evaluate(reader, "speed", run_ms=0)


def test_queries_wait_for_others_but_not_long(monkeypatch: pytest.MonkeyPatch):
    queries, begun, end = Gate(2), threading.Barrier(3), threading.Event()

    def run(token: Token) -> None:
        with queries.acquire(token):
            begun.wait(60)
            assert end.wait(60)

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(run, token) for token in (TOKEN, OTHER)]
        begun.wait(60)
        held = queries.acquire(TOKEN)
        waiting = pool.submit(held.__enter__)
        wait_until(lambda: queries._changed._waiters, "it to wait")
        monkeypatch.setattr(gate, "WAIT_MAX_S", 0.01)
        for token in (TOKEN, None):
            with pytest.raises(Overloaded), queries.acquire(token):
                pass
        assert not waiting.done()
        end.set()
        assert waiting.result(60) is None
        assert [each.result(60) for each in running] == [None, None]
        with pytest.raises(Overloaded), queries.acquire(TOKEN):
            pass  # one of the two is for other tokens
        with queries.acquire(OTHER):
            pass
