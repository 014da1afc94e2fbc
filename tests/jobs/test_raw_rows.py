"""Row groups of raw files that have no wanted row are not read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from support import folding
from support.exporting import START_MS

from jobs import archive, raw
from tributary.history.database import Database
from tributary.history.raw_rows import Batch, RawRows, Wanted
from tributary.model.frame import Block, pack
from tributary.settings import Settings
from tributary.store import keys

EVERYTHING = set(range(12))


@pytest.mark.parametrize(
    ("wanted", "after", "groups", "rows"),
    [
        (Wanted(), "0-0", 4, EVERYTHING),
        (Wanted(devices=("d3", "d4")), "0-0", 2, {3, 4}),
        (Wanted(devices=("d1x",)), "0-0", 2, set()),
        (Wanted(metrics=("n",)), "0-0", 0, set()),
        (Wanted(from_ms=START_MS + 5_000), "0-0", 3, set(range(5, 12))),
        (Wanted(to_ms=START_MS + 6_000), "0-0", 2, set(range(6))),
        (Wanted(from_ms=START_MS + 8_500, to_ms=START_MS + 9_000), "0-0", 1, set()),
        (Wanted(), "9999999999999-0", 0, set()),
        (Wanted(), f"{START_MS + 7_000}-0", 2, set(range(8, 12))),
    ],
)
def test_only_row_groups_that_may_have_wanted_rows(  # noqa: PLR0913 (fixtures and parameters)
    change: Callable[..., Settings],
    client: redis.Redis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wanted: Wanted,
    after: str,
    groups: int,
    rows: set[int],
):
    monkeypatch.setattr(raw, "BATCH_ROWS", 3)
    settings = change(partitions=1, data_dir=str(tmp_path / "data"), raw_dir=str(tmp_path / "raw"))
    for n in range(12):
        frame = pack([Block(f"d{n}", START_MS + n * 1000, {"m": float(n)})])
        fields: Any = {"e": n + 1, "n": n + 1, "r": frame}
        client.xadd(keys.readings(0), fields, id=f"{START_MS + n * 1000}-0")
    client.hset(keys.meta(0), mapping={"entries": 12, "accepted": 12})
    folding.aggregate(settings, client)
    archive.run(settings, 0)
    with contextlib.closing(Database.open(settings, migrate=False)) as db:
        found = [*RawRows(db, settings.raw_dir, 0).read(after, wanted)]
    batches = [part for part in found if isinstance(part, Batch)]
    assert len(batches) == len(found) <= groups
    assert {value for batch in batches for value in batch.values.tolist()} >= rows
