"""Descriptions of the numbers in a status: of their schema, and of their metrics."""

from __future__ import annotations

from msgspec import Meta


def described(description: str) -> Meta:
    """A number that is not negative; the description is that of its schema and its metric."""
    return Meta(ge=0, description=description)
