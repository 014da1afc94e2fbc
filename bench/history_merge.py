"""Two ways to merge summaries into a table: read, merge with numpy and write, or an SQL upsert.

The upsert computes Chan's formula in SQL. It is shorter, but PostgreSQL raises an error where a
double overflows, and values near the limits of doubles lose their deviation.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
from sqlalchemy import Connection

from bench import history_data
from bench.history_stores import History
from tributary.history import postgres, sqlite
from tributary.history.schema import MINUTES
from tributary.history.slots import HOUR_MS, Slots
from tributary.history.store import merge_rows
from tributary.model.groups import Ints

_MINUTES = 60
_COLUMNS = "series_id, slot_ms, count, mean, m2, min, max"
_TOTAL = "(minutes.count + excluded.count)"
_DELTA = "(excluded.mean - minutes.mean)"
_SHARE = f"excluded.count * 1.0 / {_TOTAL}"
_UPSERT = f"""
ON CONFLICT (series_id, slot_ms) DO UPDATE SET
  count = {_TOTAL},
  mean = minutes.mean + {_DELTA} * ({_SHARE}),
  m2 = minutes.m2 + excluded.m2 + {_DELTA} * {_DELTA} * minutes.count * ({_SHARE}),
  min = {{least}}(minutes.min, excluded.min),
  max = {{greatest}}(minutes.max, excluded.max)
"""

Way = Callable[[History, Connection, Ints, Slots], None]


class Merge(msgspec.Struct, frozen=True):
    """Microseconds per row of one way of merging."""

    store: str
    way: str
    new_us: float  # rows that do not exist yet
    existing_us: float


def measure(store: History, series: int) -> list[Merge]:
    """Both ways, each on an hour of its own: first new rows, then the same rows again."""
    found = []
    for number, (name, way) in enumerate(WAYS.items()):
        block = history_data.block(series, history_data.END_MS + number * HOUR_MS, _MINUTES)
        times_us = [_time_us(store, way, block) for _ in range(4)]
        found.append(Merge(store.name, name, times_us[0], min(times_us[1:])))
    return found


def _time_us(store: History, way: Way, block: Slots) -> float:
    with store.db.writing() as connection:
        ids = store.db.dialect.series_ids(connection, block.series)[block.index]
        store.db.dialect.lock_position(connection, 0)
        store.db.dialect.prepare(connection, MINUTES, block.slot_ms)
        began_s = time.perf_counter()
        way(store, connection, ids, block)
        return (time.perf_counter() - began_s) / len(ids) * 1e6


def _by_numpy(store: History, connection: Connection, ids: Ints, block: Slots) -> None:
    merge_rows(store.db, connection, MINUTES, ids, block)


def _by_sql(store: History, connection: Connection, ids: Ints, block: Slots) -> None:
    cells = {name: block.cells[name] for name in ("count", "mean", "m2", "min", "max")}
    if store.db.engine.dialect.name == "sqlite":
        columns = [ids.tolist(), block.slot_ms.tolist(), *(c.tolist() for c in cells.values())]
        upsert = _UPSERT.format(least="min", greatest="max")
        insert = f"INSERT INTO minutes ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
        sqlite.raw_connection(connection).executemany(insert + upsert, zip(*columns, strict=True))
        return
    postgres.copy_in(connection, {"series_id": ids, "slot_ms": block.slot_ms, **cells})
    upsert = _UPSERT.format(least="least", greatest="greatest")
    insert = f"INSERT INTO minutes ({_COLUMNS}) SELECT {_COLUMNS} FROM tributary_rows"  # noqa: S608
    connection.exec_driver_sql(insert + upsert)


WAYS: dict[str, Way] = {"numpy": _by_numpy, "SQL": _by_sql}
