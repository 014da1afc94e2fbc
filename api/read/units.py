"""Converts temperatures and speeds from the unit of the catalogue to a preferred one. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, TypeVar

import msgspec

from api.read.bodies import Slot, Statistics
from tributary.model import units
from tributary.model.catalogue import Catalogue
from tributary.model.units import SAME, Conversion, conversion

Body = TypeVar("Body", bound=Statistics | Slot)

UNITS = {n: u for n, u in units.UNITS.items() if u.kind in ("temperature", "speed")}
_VALUES = ("mean", "min", "max", "p50", "p95", "p99")


def converted(body: Body, by: Conversion) -> Body:
    """Convert statistics; counts and times do not change."""
    if by is SAME:
        return body
    changes: dict[str, float] = {}
    for name in _VALUES:
        value = getattr(body, name, None)
        if isinstance(value, float):
            changes[name] = by.value(value)
    for name in ("stddev", "increase", "rate"):  # differences: the zero does not matter
        value = getattr(body, name, None)
        if isinstance(value, float):
            changes[name] = value * by.slope
    return msgspec.structs.replace(body, **changes)


class UnitPreference(NamedTuple):
    """The units that a request prefers, at most one of each kind."""

    units: Collection[str]
    catalogue: Catalogue

    def for_metric(self, metric: str) -> tuple[str | None, Conversion]:
        """The unit of a metric in the response, and the conversion to it."""
        unit = self.catalogue[metric].unit
        for wanted in self.units if unit is not None else ():
            found = conversion(unit, wanted)
            if found is not None:
                return wanted, found
        return unit, SAME

    def convert(self, metric: str, value: float | None) -> float | None:
        """Convert one value of a metric; null stays null."""
        return None if value is None else self.for_metric(metric)[1].value(value)
