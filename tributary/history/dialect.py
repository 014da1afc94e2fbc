"""What the databases do differently: bulk reads and writes, and how old slots are removed.

No statement computes with statistics: PostgreSQL raises an error where a double overflows.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from sqlalchemy import Connection, Engine

from tributary.history.schema import Resolution
from tributary.model.aggregate import Records
from tributary.model.groups import Ints
from tributary.settings import Settings


class Rows(NamedTuple):
    """Rows of a table of slots."""

    series_id: Ints
    slot_ms: Ints
    cells: Records  # `aggregate.CELL`


class Dialect(Protocol):
    """One of the databases."""

    def create_engine(self, settings: Settings) -> Engine:
        """The connections of this process; none is opened yet."""

    def lock_schema(self, connection: Connection) -> None:
        """Wait until no other process migrates the database, until the end of the transaction."""

    def lock_position(self, connection: Connection, partition: int) -> None:
        """Wait until no other transaction has the position of a partition, which has a row."""

    def series_ids(self, connection: Connection, series: list[tuple[str, str]]) -> Ints:
        """The number of each series (distinct device and metric); new ones are added."""

    def prepare(self, connection: Connection, resolution: Resolution, slot_ms: Ints) -> None:
        """Make sure that these slots can be written."""

    def existing(
        self, connection: Connection, resolution: Resolution, series_id: Ints, slot_ms: Ints
    ) -> tuple[Ints, Records]:
        """Which of the slots exist, as indexes into the arguments, and their summaries."""

    def put(self, connection: Connection, resolution: Resolution, rows: Rows) -> None:
        """Insert or replace rows."""

    def select(  # noqa: PLR0913, PLR0917 (the bounds of the rows)
        self,
        connection: Connection,
        resolution: Resolution,
        series_id: Ints,
        from_ms: int,
        to_ms: int,
        limit: int,
    ) -> Rows:
        """At most `limit` slots that begin in [from_ms, to_ms), ordered by series and time."""

    def remove_before(self, engine: Engine, resolution: Resolution, before_ms: int) -> int:
        """Remove slots that end before a time, in short transactions; returns how many."""

    def scrub(self, engine: Engine) -> None:
        """Overwrite what deleted rows leave in the files of the database, as far as it can."""
