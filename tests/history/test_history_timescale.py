"""With TimescaleDB, which Debian does not have, slots are in hypertables."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from history.slot_data import slots_of
from sqlalchemy import text
from support.postgres import PROGRAMS, Postgres

from tributary.history import reads
from tributary.history.database import Database
from tributary.history.keep import Keep
from tributary.history.retention import prune
from tributary.history.schema import RESOLUTIONS
from tributary.history.slots import DAY_MS, MINUTE_MS
from tributary.history.store import begin
from tributary.settings import Settings

NOW_MS = 1_790_000_000_000


@pytest.fixture
def timescale() -> Iterator[Database]:
    cluster = Postgres("shared_preload_libraries=timescaledb", "timescaledb.telemetry_level=off")
    url = cluster.create()
    cluster.execute("CREATE EXTENSION timescaledb", url.rpartition("/")[2])
    db = Database.open(Settings(history_url=url), migrate=True)
    yield db
    db.close()
    cluster.close()


@pytest.mark.skipif(
    not (PROGRAMS.parent / "lib/timescaledb.so").exists(), reason="TimescaleDB is not installed"
)
def test_slots_are_written_read_and_removed_as_chunks(timescale: Database):
    with timescale.reading() as connection:
        names = text("SELECT hypertable_name FROM timescaledb_information.hypertables")
        assert set(connection.scalars(names)) == {each.name for each in RESOLUTIONS}
    times = [NOW_MS - n * DAY_MS for n in range(60)]
    for _ in range(2):
        with begin(timescale, 0) as transaction:
            transaction.merge(slots_of([("car-1", "speed", t, 1.0) for t in times]))
    slots, cells = reads.read(timescale, "car-1", "speed", MINUTE_MS, 0, 2 * NOW_MS)
    assert slots.tolist() == sorted(t // MINUTE_MS * MINUTE_MS for t in times)
    assert set(cells["count"].tolist()) == {2}
    prune(timescale, NOW_MS, Keep(10 * DAY_MS, None, None))
    kept, _ = reads.read(timescale, "car-1", "speed", MINUTE_MS, 0, 2 * NOW_MS)
    assert kept.tolist() == slots.tolist()[-len(kept) :]
    assert 10 <= len(kept) <= 17
