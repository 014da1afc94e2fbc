"""The address of the history database, checked with the other settings. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

_POSTGRESQL = ("postgresql", "postgres")


def check(url: str) -> None:
    """Raise unless a URL is empty or names a database of PostgreSQL.

    Raises:
        ValueError: it does not.
    """
    if not url:
        return
    parts = urlsplit(url)
    if parts.scheme not in _POSTGRESQL:
        raise ValueError(
            f"unsupported scheme {parts.scheme!r}; write postgresql://user:password@host/name, or "
            "nothing for SQLite in the data directory"
        )
    if not parts.path.strip("/"):
        raise ValueError("the name of the database is missing; write postgresql://host/name")
    try:
        _ = parts.port
    except ValueError:  # whose message may contain a part of the password
        raise ValueError(
            "the port is not a number; write / : @ ? # in a user or password as %2F %3A %40 %3F %23"
        ) from None


def to_sqlalchemy(url: str) -> str:
    """The URL with the driver that Tributary uses."""
    return "postgresql+psycopg://" + url.partition("://")[2]
