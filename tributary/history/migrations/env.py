"""Runs the revisions on the connection of `migrations.upgrade`; Alembic executes this file."""

from __future__ import annotations

from alembic import context

from tributary.history.schema import REVISION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=REVISION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
