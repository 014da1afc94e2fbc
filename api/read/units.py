"""Converts temperatures and speeds from the unit of the catalogue to a preferred one. Pure."""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple, TypeVar

import msgspec

from api.read.bodies import Slot, Statistics
from tributary.model.catalogue import Catalogue

Body = TypeVar("Body", bound=Statistics | Slot)


class Unit(NamedTuple):
    """A value in this unit is `value * factor + offset` in the first unit of its kind."""

    kind: str
    factor: Fraction
    offset: Fraction = Fraction(0)


UNITS = {
    "degC": Unit("temperature", Fraction(1)),
    "degF": Unit("temperature", Fraction(5, 9), Fraction(-160, 9)),
    "K": Unit("temperature", Fraction(1), Fraction(-27315, 100)),
    "m/s": Unit("speed", Fraction(1)),
    "km/h": Unit("speed", Fraction(1000, 3600)),
    "mph": Unit("speed", Fraction(1609344, 1000 * 3600)),
    "kn": Unit("speed", Fraction(1852, 3600)),
}
_VALUES = ("mean", "min", "max")


class Conversion(NamedTuple):
    """A linear conversion: `value * slope + intercept`."""

    slope: float
    intercept: float

    def value(self, value: float) -> float:
        """Convert one value."""
        return value if self is SAME else value * self.slope + self.intercept

    def apply(self, body: Body) -> Body:
        """Convert statistics; counts and times do not change."""
        if self is SAME:
            return body
        changes = {
            name: None if (value := getattr(body, name)) is None else self.value(value)
            for name in _VALUES
        }
        stddev = getattr(body, "stddev", None)
        if stddev is not None:  # a difference: the zero of the unit does not matter
            changes["stddev"] = stddev * self.slope
        return msgspec.structs.replace(body, **changes)


SAME = Conversion(1.0, 0.0)


@lru_cache(maxsize=256)
def conversion(given: str, wanted: str) -> Conversion | None:
    """The conversion from one unit to another; None if they are of different kinds.

    The exact fractions are rounded once, here.
    """
    a, b = UNITS.get(given), UNITS.get(wanted)
    if a is None or b is None or a.kind != b.kind:
        return None
    return Conversion(float(a.factor / b.factor), float((a.offset - b.offset) / b.factor))


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
