"""The rows that the history has of devices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import String, cast, func, or_, select

from tributary.errors import NoHistory
from tributary.history import schema
from tributary.history.database import Database
from tributary.model import pattern
from tributary.settings import Settings

_NAMES_PER_STATEMENT = 500


@contextmanager
def opened(settings: Settings) -> Iterator[Database | None]:
    """The history, None if there is none yet.

    Raises:
        Unavailable, Misconfigured: as `Database.open`.
    """
    try:
        db = Database.open(settings, migrate=False)
    except NoHistory:
        yield None
        return
    try:
        yield db
    finally:
        db.close()


def devices(settings: Settings, wanted: str) -> set[str]:
    """The devices in the history that a pattern covers."""
    names, prefix = schema.series.c.device, wanted.partition(pattern.ANY)[0]
    with opened(settings) as db:
        if db is None:
            return set()
        with db.reading() as connection:
            found = connection.scalars(
                select(names).distinct().where(names.startswith(prefix, autoescape=True))
            )
            return set(filter(pattern.compiled(wanted).fullmatch, found))


def existing(db: Database, names: Sequence[str]) -> set[str]:
    """Those of the devices that have rows."""
    found: set[str] = set()
    column = schema.series.c.device
    with db.reading() as connection:
        for first in range(0, len(names), _NAMES_PER_STATEMENT):
            some = names[first : first + _NAMES_PER_STATEMENT]
            found.update(connection.scalars(select(column).distinct().where(column.in_(some))))
    return found


def count(db: Database, names: Sequence[str]) -> int:
    """How many slots of these devices there are."""
    total = 0
    with db.reading() as connection:
        for first in range(0, len(names), _NAMES_PER_STATEMENT):
            some = names[first : first + _NAMES_PER_STATEMENT]
            ids = select(schema.series.c.id).where(schema.series.c.device.in_(some))
            for resolution in schema.RESOLUTIONS:
                slots = resolution.table.c.series_id.in_(ids)
                rows = select(func.count()).select_from(resolution.table).where(slots)
                total += connection.scalar(rows) or 0
    return total


def mentions(db: Database, names: Sequence[str]) -> dict[str, list[str]]:
    """The texts in each table that contain one of the names, also as a part of a longer name."""
    found: dict[str, list[str]] = {}
    with db.reading() as connection:
        for table in schema.metadata.sorted_tables:
            texts = [column for column in table.c if isinstance(column.type, String)]
            held = found.setdefault(table.name, [])
            for column in texts:
                for first in range(0, len(names), _NAMES_PER_STATEMENT):
                    some = names[first : first + _NAMES_PER_STATEMENT]
                    text = cast(column, String)
                    contains = or_(*(text.contains(name, autoescape=True) for name in some))
                    held += connection.scalars(select(column).distinct().where(contains))
    return found
