"""The order of day, month and year in short dates, from the whole file. Pure."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tributary.errors import Misconfigured
from tributary.load import times
from tributary.load.evidence import Column
from tributary.load.plan import Options
from tributary.model import reading

_VALID_MIN = 0.9  # share of the dates that must exist if not all of any order do


def order_of(column: Column, options: Options) -> str:
    """The order of day, month and year.

    Raises:
        Misconfigured: the whole file fits several.
    """
    triples = column.triples
    if options.is_day_first is not None:
        return "dmy" if options.is_day_first else "mdy"
    if not triples:
        return "dmy"
    last_year = int(reading.rfc3339(options.now_ms)[:4]) if options.now_ms else 2099
    found = (
        times.orders(triples, last_year)
        or times.orders(triples)
        or times.orders(triples, least=_VALID_MIN)
    )
    if len(found) == 1:
        return found[0]
    name = column.name
    for cell in column.cells():
        meanings = " or ".join(dict.fromkeys(_dates(cell, found)))
        if " or " in meanings:
            raise Misconfigured(
                f"{name}: {cell!r} is {meanings}, and the whole file fits both; choose with "
                "--day-first or --month-first, or give --time-format"
            )
    raise Misconfigured(
        f"{name}: neither the day nor the month is first in all dates; choose with --day-first or "
        "--month-first, or give --time-format"
    )


def _dates(cell: str, orders: list[str]) -> Iterator[str]:
    """The dates that a cell means in these orders."""
    for order in orders:
        with contextlib.suppress(ValueError):
            yield reading.rfc3339(times.parse(cell, order).local_ms)[:10]
