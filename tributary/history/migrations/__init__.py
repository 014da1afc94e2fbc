"""The revisions of the schema, applied at start. There is no downgrade: restore a backup."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection


def is_known(revision: str) -> bool:
    """Whether this version of Tributary can migrate from a revision."""
    try:
        return ScriptDirectory.from_config(config()).get_revision(revision) is not None
    except CommandError:
        return False


def upgrade(connection: Connection, to: str = "head") -> None:
    """Migrate in the transaction of a connection, which holds the lock of the schema."""
    settings = config()
    settings.attributes["connection"] = connection
    command.upgrade(settings, to)


def config() -> Config:
    """Where the revisions are."""
    found = Config()
    found.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return found
