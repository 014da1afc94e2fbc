"""Which part of the stream a file with raw readings covers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tributary.errors import Misconfigured

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; of older files it is unknown behind which entry they begin."""
    for name in ("after_id", "until_id"):
        column = sa.Column(name, sa.String(64), nullable=False, server_default="")
        op.add_column("raw_files", column)
    op.execute("UPDATE raw_files SET until_id = last_id")


def downgrade() -> None:
    """Refuse."""
    raise Misconfigured("the history cannot be downgraded; restore a backup")
