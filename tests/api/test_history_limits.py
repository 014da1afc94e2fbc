"""Bounds of reads from the history: time, gaps, and no writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.read.aggregate_store import Applied
from api.read.history_queries import GAPS_MAX
from api.read.history_store import HistoryStore
from api.read.sources import Part
from tributary.errors import Unavailable
from tributary.history.database import Database
from tributary.history.position import Gap, Position
from tributary.history.store import begin
from tributary.settings import Settings

HOUR_MS = 3_600_000
DAY = Part(0, 24 * HOUR_MS, HOUR_MS, None)
FOREVER = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def history(tmp_path: Path) -> Iterator[tuple[HistoryStore, Settings]]:
    settings = Settings(data_dir=str(tmp_path), history_timeout_ms=100, partitions=1)
    Database.open(settings, migrate=True).close()
    store = HistoryStore(settings)
    yield store, settings
    store.close()


def gaps(store: HistoryStore) -> list[Gap]:
    return store.read("car-7", "speed", [DAY], Applied("5-0", 1, 0, 7), None).gaps


def test_a_response_has_the_newest_gaps_that_may_belong_to_it(
    history: tuple[HistoryStore, Settings],
):
    store, settings = history
    database = Database.open(settings, migrate=False)
    with begin(database, 0) as transaction:
        for number in range(GAPS_MAX + 5):
            transaction.note_gap(Gap(number * HOUR_MS, (number + 1) * HOUR_MS, 1, 1))
    found = gaps(store)
    assert (len(found), found[-1].to_ms) == (GAPS_MAX, (GAPS_MAX + 5) * HOUR_MS)
    later = DAY._replace(begin_ms=100 * HOUR_MS, end_ms=101 * HOUR_MS)
    found = store.read("car-7", "speed", [later], Applied("5-0", 1, 0, 7), None).gaps
    assert found[0].to_ms == 100 * HOUR_MS  # a reading may be a little ahead of the clock
    database.close()


@pytest.mark.parametrize(
    ("archived", "applied", "until_ms"),
    [
        (Position(), Applied("0-0", 0, 0, 700), 700),  # nothing was recorded
        (Position(), Applied("500-0", 9, 0, 700), None),
        (Position("400-3", 8), Applied("500-0", 9, 0, 700), 400),
        (Position("500-0", 8), Applied("500-1", 9, 0, 700), 500),
        (Position("500-1", 9), Applied("500-1", 9, 0, 700), 700),
        (Position("400-0", 9), Applied("500-1", 9, 0, 700), 700),  # the rest was deleted
        (Position("600-0", 12), Applied("500-1", 9, 0, 700), 700),  # Redis has lost entries since
        (Position("600-0", 12), Applied("500-1", 9, 2, 700), 500),  # two are not applied yet
    ],
)
def test_completeness_is_that_of_the_last_entry_in_both(
    history: tuple[HistoryStore, Settings],
    archived: Position,
    applied: Applied,
    until_ms: int | None,
):
    store, settings = history
    database = Database.open(settings, migrate=False)
    with begin(database, 0) as transaction:
        transaction.advance(archived)
    found = store.read("car-7", "speed", [DAY], applied, None)
    assert found.complete_until_ms == until_ms
    database.close()


@pytest.mark.parametrize("statement", [FOREVER, "DELETE FROM series"])
def test_a_statement_is_short_and_reads_only(
    history: tuple[HistoryStore, Settings],
    monkeypatch: pytest.MonkeyPatch,
    statement: str,
):
    store, _ = history
    assert gaps(store) == []

    def run_statement(database: Database, *_: object) -> list[Gap]:
        with database.reading() as connection:
            connection.exec_driver_sql(statement).all()
        return []

    with monkeypatch.context() as patch:
        patch.setattr("tributary.history.reads.gaps", run_statement)
        with pytest.raises(Unavailable) as caught:
            gaps(store)
    assert "TRIBUTARY_HISTORY_URL" in str(caught.value)
    assert gaps(store) == []


def test_a_store_without_a_database_has_no_metrics(tmp_path: Path):
    store = HistoryStore(Settings(data_dir=str(tmp_path / "none"), partitions=1))
    assert store.metrics("car-7", None) == []
    with pytest.raises(Unavailable, match="tributary jobs"):
        gaps(store)
