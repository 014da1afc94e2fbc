"""The slots of an export are those of the readings, whatever pages the history reads."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import redis
from support.postgres import Postgres

from jobs.export import work
from tributary.errors import Misconfigured
from tributary.history import reads, store
from tributary.history.database import Database
from tributary.history.position import Gap, Position
from tributary.history.slots import DAY_MS, HOUR_MS, MINUTE_MS, summarize
from tributary.model import reading
from tributary.model.export import Spec
from tributary.operate.exports import Covered
from tributary.settings import Settings

START_MS = 1_700_000_000_000
Reading = tuple[str, str, int, float]


@pytest.fixture(params=["sqlite", "postgresql"])
def site(
    request: pytest.FixtureRequest, change: Callable[..., Settings], tmp_path: Path
) -> Iterator[Settings]:
    if request.param == "sqlite":
        yield change(data_dir=str(tmp_path / "data"))
        return
    cluster = Postgres()
    yield change(history_url=cluster.create())
    cluster.close()


def put(settings: Settings, readings: list[Reading]) -> None:
    """Add readings to the history."""
    db = Database.open(settings, migrate=True)
    series = [(device, metric) for device, metric, _, _ in readings]
    columns = np.ones(len(series), np.int64), np.array([r[2] for r in readings], np.int64)
    slots = summarize(series, *columns, np.array([r[3] for r in readings]), MINUTE_MS)
    with store.begin(db, 0) as transaction:
        transaction.merge(slots)
        transaction.note_gap(Gap(START_MS, START_MS + 5, 1, 1))
        transaction.advance(Position(f"{START_MS + 9}-0", 7, 7))
    db.close()


def exported(settings: Settings, client: redis.Redis, **spec: Any) -> tuple[list[Any], Covered]:
    file = io.BytesIO()
    source = work.source_of(settings, client, Spec("slots", **spec))
    shares: list[float] = []
    result = work.write(source, "csv", file, lambda progress: shares.append(progress.share))
    rows = list(csv.DictReader(io.StringIO(file.getvalue().decode())))
    assert shares == sorted(shares)
    assert result.rows == len(rows)
    return rows, result.covered


def test_any_slot_by_brute_force(
    site: Settings, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reads, "_PAGE_ROWS", 7)
    monkeypatch.setattr(reads, "_SERIES_PER_PAGE", 3)
    random = Random(3)
    readings: list[Reading] = [
        (
            f"car-{random.randrange(4)}",
            random.choice("ab"),
            START_MS + random.randrange(9 * DAY_MS),
            random.gauss(50, 20),
        )
        for _ in range(400)
    ]
    put(site, readings)
    from_ms, to_ms = START_MS + 2 * DAY_MS + 77, START_MS + 7 * DAY_MS + 1
    for slot_ms in (MINUTE_MS, 5 * MINUTE_MS, HOUR_MS, 7 * HOUR_MS, DAY_MS, 7 * DAY_MS):
        check(exported(site, client, slot_ms=slot_ms)[0], readings, slot_ms)
        first, last = from_ms // slot_ms * slot_ms, -(-to_ms // slot_ms) * slot_ms
        some = [
            one for one in readings
            if one[0] in ("car-1", "car-2") and one[1] == "a" and first <= one[2] < last
        ]  # fmt: skip
        devices = ("*-2", "car-1", "c*-2")
        chosen = {"devices": devices, "metrics": ("a",), "from_ms": from_ms, "to_ms": to_ms}
        check(exported(site, client, slot_ms=slot_ms, **chosen)[0], some, slot_ms)


def check(rows: list[dict[str, str]], readings: list[Reading], slot_ms: int) -> None:
    expected: defaultdict[tuple[str, str, int], list[float]] = defaultdict(list)
    for device, metric, at_ms, value in readings:
        expected[device, metric, at_ms // slot_ms * slot_ms].append(value)
    found = {(r["device"], r["metric"], reading.time_ms(r["from"])): r for r in rows}
    assert len(found) == len(rows)
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        row = found[key]
        assert (int(row["count"]), float(row["min"]), float(row["max"])) == (
            len(values), min(values), max(values),
        )  # fmt: skip
        assert math.isclose(float(row["mean"]), statistics.fmean(values), rel_tol=1e-12)
        if len(values) == 1:
            assert row["stddev"] == ""
        else:
            stddev = statistics.stdev(values)
            assert math.isclose(float(row["stddev"]), stddev, rel_tol=1e-6, abs_tol=1e-9)


def test_covered_is_what_the_history_has_since_its_last_gap(site: Settings, client: redis.Redis):
    put(site, [("a", "m", START_MS, 1.0)])
    rows, covered = exported(site, client, slot_ms=HOUR_MS)
    assert len(rows) == 1
    assert covered == Covered(START_MS + 5, START_MS + 9)
    assert exported(site, client, slot_ms=HOUR_MS, within="b")[0] == []


def test_without_a_history_the_remedy_is_named(
    change: Callable[..., Settings], client: redis.Redis, tmp_path: Path
):
    settings = change(data_dir=str(tmp_path / "none"))
    with pytest.raises(Misconfigured, match="tributary jobs"):
        work.source_of(settings, client, Spec("slots", slot_ms=HOUR_MS))
