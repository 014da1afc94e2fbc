"""Series, slots, positions and gaps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tributary.errors import Misconfigured

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_NAME = sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql")
_WEEK_MS = 604_800_000
_CHUNKS_MS = {"minutes": _WEEK_MS, "hours": 13 * _WEEK_MS, "days": 52 * _WEEK_MS}


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "series",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("device", _NAME, nullable=False),
        sa.Column("metric", _NAME, nullable=False),
        sa.UniqueConstraint("device", "metric", name="series_names"),
        sqlite_autoincrement=True,
    )
    for name, chunk_ms in _CHUNKS_MS.items():
        _create_slots(name, chunk_ms)
    op.create_table(
        "positions",
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("entry_id", sa.String(64), nullable=False),
        *_counts("entries", "readings", "updated_ms"),
    )
    op.create_table(
        "gaps",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("partition", sa.Integer, nullable=False),
        *_counts("from_ms", "to_ms", "entries", "readings", "noted_ms"),
        sa.Index("gaps_by_time", "to_ms"),
    )


def downgrade() -> None:
    """Refuse."""
    raise Misconfigured("the history cannot be downgraded; restore a backup")


def _counts(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _create_slots(name: str, chunk_ms: int) -> None:
    bind = op.get_bind()
    has_timescale = bind.dialect.name == "postgresql" and bind.scalar(
        sa.text("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'")
    )
    op.create_table(
        name,
        sa.Column("series_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("slot_ms", sa.BigInteger, primary_key=True, autoincrement=False),
        *_counts("count"),
        *(sa.Column(each, sa.Double, nullable=False) for each in ("mean", "m2", "min", "max")),
        sqlite_with_rowid=False,
        postgresql_partition_by=None if has_timescale else "RANGE (slot_ms)",
    )
    if has_timescale:
        op.execute(
            f"SELECT create_hypertable('{name}', 'slot_ms', chunk_time_interval => {chunk_ms})"
        )
