"""The values of expressions: one number or series of numbers at every time of a query. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from api.prometheus import bounds

Floats = NDArray[np.float64]
Labels = tuple[tuple[str, str], ...]  # sorted by name
NAME = "__name__"


class Points(NamedTuple):
    """Values at all times; those that are not present are undefined."""

    values: Floats
    is_present: NDArray[np.bool_]


class Element(NamedTuple):
    """One series of a vector."""

    labels: Labels
    points: Points

    def without_name(self, points: Points) -> Element:
        """Other points of this series; a computed value is not the metric any more."""
        return Element(without(self.labels, NAME), points)


Vector = list[Element]


class Scalar(NamedTuple):
    """A number at every time."""

    values: Floats


Value = Scalar | Vector


def without(labels: Labels, *names: str) -> Labels:
    """Labels except those with these names."""
    return tuple(label for label in labels if label[0] not in names)


def only(labels: Labels, names: Iterable[str]) -> Labels:
    """Labels with these names."""
    kept = set(names)
    return tuple(label for label in labels if label[0] in kept)


def merged(elements: Vector) -> Vector:
    """Merge elements with equal labels.

    Raises:
        Refused: 422, two of them are present at the same time.
    """
    found: dict[Labels, Points] = {}
    for labels, points in elements:
        before = found.get(labels)
        if before is None:
            found[labels] = points
            continue
        if (before.is_present & points.is_present).any():
            text = ", ".join(f"{name}={value!r:.140}" for name, value in labels)
            raise bounds.execution(
                f"the result has {{{text}}} more than once, because the name of the metric is "
                "dropped; select one metric by its name"
            )
        values = np.where(before.is_present, before.values, points.values)
        found[labels] = Points(values, before.is_present | points.is_present)
    return [Element(labels, points) for labels, points in found.items()]
