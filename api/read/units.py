"""Units that can be had in place of those of the catalogue: temperatures and speeds. Pure."""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

from tributary.model.catalogue import Catalogue


class Unit(NamedTuple):
    """A number of this unit is `number * factor + offset` of the first unit of its kind."""

    kind: str
    factor: Fraction
    offset: Fraction = Fraction(0)


class Line(NamedTuple):
    """A conversion: `number * slope + intercept`."""

    slope: float
    intercept: float


UNITS = {
    "degC": Unit("temperature", Fraction(1)),
    "degF": Unit("temperature", Fraction(5, 9), Fraction(-160, 9)),
    "K": Unit("temperature", Fraction(1), Fraction(-27315, 100)),
    "m/s": Unit("speed", Fraction(1)),
    "km/h": Unit("speed", Fraction(1000, 3600)),
    "mph": Unit("speed", Fraction(1609344, 1000 * 3600)),
    "kn": Unit("speed", Fraction(1852, 3600)),
}
SAME = Line(1.0, 0.0)
_SPREADS = frozenset(("stddev",))  # a difference: the zero of the unit does not matter
_NUMBERS = frozenset(("current", "average", "mean", "min", "max")) | _SPREADS


@lru_cache(maxsize=256)
def line(given: str, wanted: str) -> Line | None:
    """From one unit to another, or None if they measure different things.

    Exact fractions are rounded once, here; a conversion then costs a multiplication and an
    addition.
    """
    a, b = UNITS.get(given), UNITS.get(wanted)
    if a is None or b is None or a.kind != b.kind:
        return None
    return Line(float(a.factor / b.factor), float((a.offset - b.offset) / b.factor))


class Wish(NamedTuple):
    """The units that a request asks for, at most one of each kind."""

    units: Collection[str]
    catalogue: Catalogue

    def of(self, metric: str) -> tuple[str | None, Line]:
        """The unit to answer a metric in, and the way there."""
        unit = self.catalogue[metric].unit
        for wanted in self.units if unit is not None else ():
            found = line(unit, wanted)
            if found is not None:
                return wanted, found
        return unit, SAME

    def convert(self, metric: str, number: float | None) -> float | None:
        """One number of a metric; null stays null."""
        return None if number is None else _applied(self.of(metric)[1], number)


def applied(way: Line, statistics: dict[str, Any]) -> dict[str, Any]:
    """Statistics with every number that has the unit converted; counts and times stay."""
    if way is SAME:
        return statistics
    return {
        name: _spread_or_value(name, value, way) if name in _NUMBERS else value
        for name, value in statistics.items()
    }


def _spread_or_value(name: str, value: float | None, way: Line) -> float | None:
    if value is None:
        return None
    return value * way.slope if name in _SPREADS else _applied(way, value)


def _applied(way: Line, number: float) -> float:
    return number * way.slope + way.intercept
