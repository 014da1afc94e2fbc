"""Reads of the history, bounded: one series up to a limit, many in pages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from sqlalchemy import Select, func, select, tuple_

from tributary.errors import Refused
from tributary.history import schema
from tributary.history.database import Database
from tributary.history.dialect import Rows
from tributary.history.position import Gap
from tributary.history.schema import BY_SLOT_MS, Resolution
from tributary.history.slots import Slots, no_slots
from tributary.model.aggregate import Records
from tributary.model.groups import Ints
from tributary.model.pattern import ANY, compiled

SLOTS_MAX = 1_000_000  # of one `read`: 44 MB, minutes of almost two years
GAPS_MAX = 1_000
_PAGE_ROWS = 10_000
_SERIES_PER_PAGE = 500

Names = Sequence[tuple[str, str]]


def read(  # noqa: PLR0913, PLR0917 (one query)
    db: Database, device: str, metric: str, resolution_ms: int, from_ms: int, to_ms: int
) -> tuple[Ints, Records]:
    """Starts (UTC ms) and summaries (`aggregate.CELL`) of slots that begin in [from_ms, to_ms).

    Oldest first; a slot without readings is absent, and so is an unknown series.

    Raises:
        Refused: there are more than `SLOTS_MAX`.
        Unavailable: the database is.
    """
    resolution = BY_SLOT_MS[resolution_ms]
    names = schema.series.c
    query = select(names.id).where(names.device == device, names.metric == metric)
    with db.reading() as connection:
        number = connection.scalar(query)
        if number is None:
            return no_slots().slot_ms, no_slots().cells
        ids = np.array([number])
        rows = db.dialect.select(connection, resolution, ids, from_ms, to_ms, SLOTS_MAX + 1)
    if len(rows.slot_ms) > SLOTS_MAX:
        raise Refused(
            f"{device} {metric} has more than {SLOTS_MAX} slots in the time span; use a shorter "
            "one or longer slots",
            status=422,
            code="too_many_slots",
        )
    return rows.slot_ms, rows.cells


def read_many(  # noqa: PLR0913, PLR0917 (one query)
    db: Database,
    devices: str | Iterable[str],
    metrics: Iterable[str] | None,
    resolution_ms: int,
    from_ms: int,
    to_ms: int,
) -> Iterator[Slots]:
    """Slots that begin in [from_ms, to_ms), in pages of at most 10,000, by series and time.

    `devices` is a pattern with `*`, or names; `metrics` None: all. Each page is read in a
    transaction of its own, so what is written meanwhile may be in some pages and not in others.

    Raises:
        Unavailable: the database is.
    """
    resolution = BY_SLOT_MS[resolution_ms]
    selected = None if metrics is None else frozenset(metrics)
    for numbers, names in _series(db, devices, selected):
        order = {number: place for place, number in enumerate(numbers)}
        for rows in _pages(db, resolution, np.array(numbers), from_ms, to_ms):
            yield _slots(rows, order, names)


def gaps(db: Database, from_ms: int, to_ms: int, partition: int | None = None) -> list[Gap]:
    """The newest `GAPS_MAX` gaps that overlap [from_ms, to_ms), oldest first."""
    columns = schema.gaps.c
    query = (
        select(columns.from_ms, columns.to_ms, columns.entries, columns.readings)
        .where(columns.to_ms >= from_ms, columns.from_ms < to_ms)
        .order_by(columns.to_ms.desc(), columns.id.desc())
        .limit(GAPS_MAX)
    )
    if partition is not None:
        query = query.where(columns.partition == partition)
    with db.reading() as connection:
        return [Gap(*row) for row in connection.execute(query)][::-1]


def count_gaps(db: Database, partition: int) -> tuple[int, int, int]:
    """The gaps of a partition, and the entries and readings in them."""
    columns = schema.gaps.c
    query = select(
        func.count(),
        func.coalesce(func.sum(columns.entries), 0),
        func.coalesce(func.sum(columns.readings), 0),
    ).where(columns.partition == partition)
    with db.reading() as connection:
        number, entries, readings = connection.execute(query).one()
    return int(number), int(entries), int(readings)


def total_gap(db: Database) -> tuple[int, int]:
    """Entries and readings of all gaps together."""
    columns = schema.gaps.c
    sums = (
        func.coalesce(func.sum(columns.entries), 0),
        func.coalesce(func.sum(columns.readings), 0),
    )
    with db.reading() as connection:
        entries, readings = connection.execute(select(*sums)).one()
    return int(entries), int(readings)


def series_of(db: Database, device: str) -> list[str]:
    """The metrics of a device that the history has, by name."""
    names = schema.series.c
    query = select(names.metric).where(names.device == device).order_by(names.metric)
    with db.reading() as connection:
        return list(connection.scalars(query))


def _series(
    db: Database, devices: str | Iterable[str], metrics: frozenset[str] | None
) -> Iterator[tuple[list[int], list[tuple[str, str]]]]:
    """Numbers and names of the selected series, in pages ordered by name."""
    names = schema.series.c
    query = select(names.id, names.device, names.metric)
    query = query.order_by(names.device, names.metric).limit(_SERIES_PER_PAGE)
    if isinstance(devices, str):
        prefix = devices.partition(ANY)[0]
        query = query.where(names.device >= prefix, names.device <= prefix + "~")  # the last ASCII
        yield from _series_pages(db, query, compiled(devices), metrics)
        return
    for device in sorted(set(devices)):
        yield from _series_pages(db, query.where(names.device == device), None, metrics)


def _series_pages(
    db: Database,
    query: Select[int, str, str],
    pattern: re.Pattern[str] | None,
    metrics: frozenset[str] | None,
) -> Iterator[tuple[list[int], list[tuple[str, str]]]]:
    names = schema.series.c
    after = ("", "")
    while True:
        with db.reading() as connection:
            page = query.where(tuple_(names.device, names.metric) > tuple_(*after))
            found = connection.execute(page).all()
        chosen = [
            (number, (device, metric))
            for number, device, metric in found
            if (pattern is None or pattern.fullmatch(device))
            and (metrics is None or metric in metrics)
        ]
        if chosen:
            yield [number for number, _ in chosen], [name for _, name in chosen]
        if len(found) < _SERIES_PER_PAGE:
            return
        after = (found[-1].device, found[-1].metric)


def _pages(
    db: Database, resolution: Resolution, ids: Ints, from_ms: int, to_ms: int
) -> Iterator[Rows]:
    """Rows of series in the given order, a statement per page.

    PostgreSQL sorts what a statement selects, so only as many series are read at once as are
    likely to fit a page.
    """
    done, batch = 0, 1
    while done < len(ids):
        here, at_ms = ids[done : done + batch], from_ms
        rows = _page(db, resolution, here, at_ms, to_ms)
        while len(rows.slot_ms) == _PAGE_ROWS and len(here) == 1:
            yield rows
            at_ms = int(rows.slot_ms[-1]) + 1
            rows = _page(db, resolution, here, at_ms, to_ms)
        if len(rows.slot_ms) == _PAGE_ROWS:
            batch = len(here) // 2
            continue
        if len(rows.slot_ms):
            yield rows
        done += len(here)
        if len(rows.slot_ms) < _PAGE_ROWS // 2 and at_ms == from_ms:
            batch *= 2


def _page(db: Database, resolution: Resolution, ids: Ints, from_ms: int, to_ms: int) -> Rows:
    with db.reading() as connection:
        return db.dialect.select(connection, resolution, ids, from_ms, to_ms, _PAGE_ROWS)


def _slots(rows: Rows, order: dict[int, int], names: list[tuple[str, str]]) -> Slots:
    """Rows of a page by name; `order`: the place of each series number among the names."""
    places = np.fromiter(map(order.__getitem__, rows.series_id.tolist()), np.int64)
    here, index = np.unique(places, return_inverse=True)
    by_name = np.lexsort((rows.slot_ms, index))
    chosen = [names[place] for place in here.tolist()]
    return Slots(chosen, index[by_name], rows.slot_ms[by_name], rows.cells[by_name])
