"""Windows and history together equal a brute-force recount: the real fold, the real database."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
import redis
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as profile
from hypothesis import strategies as st
from support import brute

from aggregator.fold import fold
from aggregator.overflow import Horizon
from aggregator.table import Table, Unseen
from api.read import joined, span
from api.read.aggregate_store import AggregateStore
from api.read.build import View
from api.read.history_store import HistoryStore
from api.read.series_reader import SeriesReader, SeriesSpan
from api.read.span import SpanRequest
from tributary.errors import Refused
from tributary.history.database import Database
from tributary.history.position import Gap, Position
from tributary.history.slots import MINUTE_MS, summarize
from tributary.history.store import begin
from tributary.model import catalogue, reading
from tributary.model.aggregate import Layout
from tributary.model.declared import Declared
from tributary.model.groups import Readings
from tributary.model.rows import UNKNOWN, Shape, StoredSeries
from tributary.model.units import SAME
from tributary.settings import Settings
from tributary.store import keys

START_MS = 1_700_000_003_210
METRIC = "speed"


class Arrival(NamedTuple):
    """A reading; its entry is appended at `at_ms`."""

    at_ms: int
    time_ms: int
    value: float


class Rig:
    """A store of each kind, written as the aggregator and the archive do; one device per case."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self.settings = settings
        self.client = client
        self.database = Database.open(settings, migrate=True)
        layout = Layout(settings.parsed_windows, settings.average_over)
        view = View(layout, catalogue.load(""), settings.stale_after_ms, Declared(layout))
        self.layout = layout
        store = AggregateStore(client, settings)
        self.now_ms = 0
        self.reader = SeriesReader(store, HistoryStore(settings), view, lambda: self.now_ms)
        self.view = view
        self.cases = 0

    def next_device(self) -> str:
        self.client.flushall()
        with begin(self.database, 0) as transaction:
            transaction.delete_devices([f"car-{self.cases}"])
            transaction.advance(Position())
            transaction.connection.exec_driver_sql("DELETE FROM gaps")
        self.cases += 1
        return f"car-{self.cases}"

    def aggregate(self, device: str, arrived: list[Arrival], batch: int) -> None:
        """Fold batches at their times of arrival, and store them."""
        table = Table(Shape(self.layout), 4)
        table.load(0, Unseen([(device, METRIC)], [device]), StoredSeries([UNKNOWN], {}), [None])
        row = table.rows(0)[device, METRIC]
        for first in range(0, len(arrived), batch):
            part = arrived[first : first + batch]
            times_ms = np.array([each.time_ms for each in part])
            values = np.array([each.value for each in part])
            horizon = Horizon(table.overflow, part[-1].at_ms, self.settings.future_max_ms)
            readings = Readings(np.full(len(part), row), times_ms, values)
            fold(self.layout, table.state, table.rings, readings, horizon)
        if arrived:
            field = keys.series(device, METRIC)
            rings = table.rings[row].tobytes() + table.overflow.packed(row)
            self.client.hset(keys.state(0), field, table.state[row].tobytes())
            self.client.hset(keys.windows(0), field, rings)
            self.client.hset(keys.latest(0), device, b"{}")
        meta = {"hwm": f"{arrived[-1].at_ms}-{len(arrived) - 1}"} if arrived else {}
        counts = {"entries": len(arrived), "done_entries": len(arrived)}
        self.client.hset(keys.meta(0), mapping={**counts, **meta})

    def archive(self, device: str, arrived: list[Arrival], first: int, end: int) -> None:
        """Write readings [first, end) to the history, and the position behind them."""
        with begin(self.database, 0) as transaction:
            before = transaction.position.entries
            if first > before:
                from_ms = arrived[before - 1].at_ms if before else 0
                lost = first - before
                transaction.note_gap(Gap(from_ms, arrived[first].at_ms, lost, lost))
            part = arrived[first:end]
            times_ms = np.array([each.time_ms for each in part], np.int64)
            values = np.array([each.value for each in part], np.float64)
            repeats = np.array([len(part)])
            slots = summarize([(device, METRIC)], repeats, times_ms, values, MINUTE_MS)
            transaction.merge(slots)
            transaction.advance(Position(f"{arrived[end - 1].at_ms}-{end - 1}", end, end))


@pytest.fixture
def rig(history: Settings, settings: Settings, client: redis.Redis) -> Iterator[Rig]:
    """On both databases."""
    changes = {"history_url": history.history_url, "partitions": 1}
    made = Rig(msgspec.structs.replace(settings, **changes), client)
    yield made
    made.reader.history.close()
    made.database.close()


def arrivals(given_: list[tuple[int, int, float]]) -> list[Arrival]:
    found, at_ms = [], START_MS
    for pause_ms, ahead_ms, value in given_:
        at_ms += pause_ms
        found.append(Arrival(at_ms, at_ms + ahead_ms, value))
    return found


WINDOWS = Settings().parsed_windows
JOINED = {"15m": ("1m", "2m"), "1h": ("5m", "15m"), "24h": ("1h", "6h", "1d")}  # and their slots
pauses = st.one_of(st.just(0), st.integers(0, 400_000), st.integers(0, 10**8))
aheads = st.one_of(
    st.just(0),
    st.integers(-2_000, 10_000),
    st.integers(-90_000, 300_000),
    st.integers(-4_000_000, 0),
    st.integers(-4 * 10**9, 0),
)
lengths = st.sampled_from(["10s", "1m", "14m", "15m", "1h", "3h", "24h", "25h", "7d", "30d", "90d"])
slots = st.sampled_from([None, None, "5s", "1m", "5m", "7m", "1h", "90m", "6h", "1d", "7d"])


class Case(NamedTuple):
    """Readings in order of arrival, the present, and what is asked for."""

    arrived: list[Arrival]
    now_ms: int
    wanted: SpanRequest


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any readings and time span."""
    listed = st.tuples(pauses, aheads, st.floats(-1e6, 1e6))
    arrived = arrivals(draw(st.lists(listed, max_size=25)))
    last_ms = arrived[-1].at_ms if arrived else START_MS
    now_ms = last_ms + draw(st.one_of(st.just(0), st.integers(0, 10_000), st.integers(0, 10**8)))
    slot = draw(slots)
    if draw(st.booleans()):
        return Case(arrived, now_ms, SpanRequest("window", draw(lengths), None, None, slot))
    from_ms = START_MS + draw(st.integers(-4 * 10**9, 10**9))
    to_ms = from_ms + draw(st.integers(1, 3 * 10**9))
    to = draw(st.sampled_from([None, reading.rfc3339(to_ms)]))
    return Case(arrived, now_ms, SpanRequest("window", None, reading.rfc3339(from_ms), to, slot))


@st.composite
def cases_at_the_border(draw: st.DrawFn) -> Case:
    """Readings around the first slot of a window, the newest one now, and a longer time span."""
    window = draw(st.sampled_from([each for each in WINDOWS if each.name in JOINED]))
    arrived, now_ms, _ = draw(cases())
    before_ms = st.integers(
        window.length_ms - window.slot_ms, window.length_ms + 2 * window.slot_ms
    )
    if arrived:
        now_ms = max(now_ms, draw(st.sampled_from(arrived)).time_ms + draw(before_ms))
    arrived.append(Arrival(now_ms, now_ms, 1.5))
    slot = draw(st.sampled_from(JOINED[window.name]))
    return Case(arrived, now_ms, SpanRequest("window", "8d", None, None, slot))


def is_included(read: SeriesSpan, each: Arrival, *, is_archived: bool) -> bool:
    """Whether a reading is in the answer, by the definition of the join."""
    if not read.span.begin_ms <= each.time_ms < read.span.end_ms:
        return False
    in_redis = [part for part in read.span.parts if part.window is not None]
    return is_archived or any(part.begin_ms <= each.time_ms for part in in_redis)


def check(rig: Rig, read: SeriesSpan, expected: list[Arrival]) -> None:
    """The slots and their total equal a recount of these readings."""
    wanted = joined.MetricRequest("d", METRIC, None, read, None, SAME)
    body = joined.history(rig.view, wanted)
    by_slot: dict[int, list[float]] = {}
    for each in expected:
        by_slot.setdefault(each.time_ms // body.slot_ms * body.slot_ms, []).append(each.value)
    assert [slot.from_ for slot in body.slots] == [reading.rfc3339(ms) for ms in sorted(by_slot)]
    for slot, (_, values) in zip(body.slots, sorted(by_slot.items()), strict=True):
        assert (slot.count, slot.min, slot.max) == (len(values), min(values), max(values))
        assert math.isclose(slot.mean, math.fsum(values) / len(values), rel_tol=1e-9, abs_tol=1e-6)
    exact = brute.statistics([each.value for each in expected])
    found = msgspec.structs.asdict(joined.metric_window(rig.view, wanted))
    assert [found[name] for name in ("count", "min", "max")] == [
        exact[name] for name in ("count", "min", "max")
    ]
    for name in ("mean", "stddev"):
        assert (found[name] is None) == (exact[name] is None)
        if exact[name] is not None:
            assert math.isclose(found[name], exact[name], rel_tol=1e-6, abs_tol=1e-3)


@profile(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases() | cases_at_the_border(), data=st.data())
def test_every_reading_counts_once_and_what_is_missing_is_reported(
    rig: Rig, case: Case, data: st.DataObject
):
    device, (arrived, rig.now_ms, wanted) = rig.next_device(), case
    end = data.draw(st.just(len(arrived)) | st.integers(0, len(arrived)), "archived")
    lost = data.draw(st.just(0) | st.integers(0, end), "end of the gap")
    first = data.draw(st.integers(0, lost), "start of the gap")
    rig.aggregate(device, arrived, data.draw(st.integers(1, 9), "batch"))
    for begin_, end_ in ((0, first), (lost, end)):
        if begin_ < end_:
            rig.archive(device, arrived, begin_, end_)
    archived = {n for n in range(end) if n < first or n >= lost} if lost < end else {*range(first)}
    resolve = span.slots if wanted.slot or wanted.from_ else span.whole
    try:
        read = rig.reader.read_or_empty((device, METRIC), partial(resolve, wanted), None)
    except Refused:  # these slots are not kept
        assume(False)
        return
    included = [
        each for n, each in enumerate(arrived) if is_included(read, each, is_archived=n in archived)
    ]
    check(rig, read, included)
    everything = [each for each in arrived if is_included(read, each, is_archived=True)]
    if len(included) < len(everything):
        assert read.found is not None
        until_ms = read.found.complete_until_ms or 0
        missing = [each for each in everything if each not in included]
        gaps = read.found.gaps
        assert all(
            each.at_ms >= until_ms or any(g.from_ms <= each.at_ms <= g.to_ms for g in gaps)
            for each in missing
        )
    if len(archived) == len(arrived):
        assert included == everything
