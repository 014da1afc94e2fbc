"""Data sets as bytes: their plans and readings."""

from __future__ import annotations

from typing import Any

from tributary.load import file_records, guess
from tributary.load.file_records import Lines
from tributary.load.plan import Column, Overrides, Plan
from tributary.load.row import Reader, Row


def planned(content: bytes, **overrides: Any) -> Plan:
    head = content.splitlines(keepends=True)
    chosen = Overrides(**overrides)
    form = file_records.form_of(head, chosen.delimiter)
    return guess.plan(form, list(file_records.records(Lines(head), form)), chosen)


def read(content: bytes, **overrides: Any) -> list[Row]:
    plan = planned(content, **overrides)
    lines = Lines(content.splitlines(keepends=True))
    return list(map(Reader(plan).read, file_records.records(lines, plan.form)))


def readings(content: bytes, **overrides: Any) -> list[dict[str, Any] | None]:
    return [row.reading for row in read(content, **overrides)]


def column(plan: Plan, wanted: str) -> Column:
    return next(column for column in plan.columns if column.name == wanted)
