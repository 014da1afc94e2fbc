"""How long the history keeps slots of each resolution."""

from __future__ import annotations

from typing import NamedTuple

from tributary.model.window import parse_duration_ms
from tributary.settings import Settings


class Keep(NamedTuple):
    """How long slots are kept after they end; None: permanently."""

    minutes_ms: int | None
    hours_ms: int | None
    days_ms: int | None


def keep_of(settings: Settings) -> Keep:
    """The settings `history_keep_minutes`, `…_hours` and `…_days`."""
    texts = (
        settings.history_keep_minutes,
        settings.history_keep_hours,
        settings.history_keep_days,
    )
    return Keep(*(parse_duration_ms(text) if text else None for text in texts))
