"""The files with raw readings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tributary.errors import Misconfigured

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "raw_files",
        sa.Column("path", sa.String(255), primary_key=True),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("first_id", sa.String(64), nullable=False),
        sa.Column("last_id", sa.String(64), nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Index("raw_files_by_partition", "partition", "day"),
    )


def downgrade() -> None:
    """Refuse."""
    raise Misconfigured("the history cannot be downgraded; restore a backup")
