"""The doors other than `/record`: a module with `paths` and a file of examples for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from api.openapi.doors import (
    fields,
    influx,
    owntracks,
    rooms,
    senml,
    sensor_logger,
    telegraf,
    webhooks,
)
from tributary.settings import Settings

# A new door adds its `paths` here, and `NAME.json` beside its module; one
# whose clients send fields adds a row in `fields`.
_DOORS: tuple[Callable[[Settings], dict[str, Any]], ...] = (
    fields.paths,
    influx.paths,
    owntracks.paths,
    rooms.paths,
    senml.paths,
    sensor_logger.paths,
    telegraf.paths,
    webhooks.paths,
)


def paths(settings: Settings) -> dict[str, Any]:
    """The operations of these doors, by path."""
    return {path: methods for door in _DOORS for path, methods in door(settings).items()}
