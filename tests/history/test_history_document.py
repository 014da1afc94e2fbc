"""The examples of docs/history.md are valid on both databases, and return what they promise."""

from __future__ import annotations

import re

import pytest
from history.slot_data import slots_of
from sqlalchemy import text
from support.processes import ROOT

from tributary.history.database import Database
from tributary.history.schema import RESOLUTIONS, metadata
from tributary.history.slots import HOUR_MS, MINUTE_MS
from tributary.history.store import begin

FIRST_MS = 1_767_225_600_000  # 2026-01-01, as in the document
DOCUMENT = (ROOT / "docs" / "history.md").read_text()
EXAMPLES = re.findall(r"```sql\n(.*?)```", DOCUMENT, re.DOTALL)
READINGS = [
    ("car-7", "engine_temperature", FIRST_MS, 80.0),
    ("car-7", "engine_temperature", FIRST_MS + 1, 90.0),
    ("car-7", "engine_temperature", FIRST_MS + MINUTE_MS, 100.0),
    ("car-8", "engine_temperature", FIRST_MS + 2 * HOUR_MS, 70.0),
]
EXPECTED = [
    [("car-7", FIRST_MS, 90.0, 3), ("car-8", FIRST_MS + 2 * HOUR_MS, 70.0, 1)],
    [(FIRST_MS, 100.0, 10.0)],
    [("car-7", FIRST_MS)],
]


@pytest.mark.parametrize(
    ("example", "expected"),
    list(zip(EXAMPLES, EXPECTED, strict=True)),
    ids=["means", "days", "silent"],
)
def test_an_example_returns_what_it_promises(
    db: Database, example: str, expected: list[tuple[object, ...]]
):
    with begin(db, 0) as transaction:
        transaction.merge(slots_of(READINGS))
    with db.reading() as connection:
        assert [tuple(row) for row in connection.execute(text(example))] == expected


def test_every_column_and_setting_is_documented():
    names = {column.name for table in metadata.sorted_tables for column in table.columns}
    names |= {table.name for table in metadata.sorted_tables}
    names |= {f"TRIBUTARY_HISTORY_KEEP_{each.name.upper()}" for each in RESOLUTIONS}
    assert [name for name in names if f"`{name}`" not in DOCUMENT] == []
