"""Data sets as bytes: their plans and readings."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tributary.load import Options, content, rows, survey
from tributary.load.plan import Column, Plan
from tributary.load.row import Row
from tributary.load.survey import Source
from tributary.load.table import Lines
from tributary.model import catalogue

NOW_MS = 1_795_700_000_000  # 2026-11-26
CATALOGUE = catalogue.load("")


def surveyed(data: bytes, name: str = "data.csv", **options: Any) -> Source:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        return survey.survey(content.Content(path), Options(now_ms=NOW_MS, **options), CATALOGUE)


def planned(data: bytes, **options: Any) -> Plan:
    return surveyed(data, **options).plan


def read(data: bytes, name: str = "data.csv", **options: Any) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        chosen = Options(now_ms=NOW_MS, **options)
        source = survey.survey(content.Content(path), chosen, CATALOGUE)
        return list(rows(source, Lines(content.lines(source.content))))


def readings(data: bytes, name: str = "data.csv", **options: Any) -> list[dict[str, Any]]:
    return [row.reading for row in read(data, name, **options) if row.reading is not None]


def column(plan: Plan, wanted: str) -> Column:
    return next(column for column in plan.columns if column.name == wanted)
