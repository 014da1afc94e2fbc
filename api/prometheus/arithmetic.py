"""Binary operators on scalars and vectors. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from api.prometheus import bounds
from api.prometheus.vectors import (
    NAME,
    Element,
    Floats,
    Labels,
    Points,
    Scalar,
    Value,
    Vector,
    merged,
    only,
    without,
)

Operation = Callable[[Any, Any], Any]
ARITHMETIC: dict[str, Operation] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,  # the sign of the left side, as in Go
    "^": np.power,
    "atan2": np.arctan2,
}
COMPARISONS: dict[str, Operation] = {
    "==": np.equal,
    "!=": np.not_equal,
    ">": np.greater,
    "<": np.less,
    ">=": np.greater_equal,
    "<=": np.less_equal,
}
SETS = ("and", "or", "unless")


class Modifier(NamedTuple):
    """How the sides of an operator are matched, and whether a comparison filters."""

    is_bool: bool
    names: tuple[str, ...]  # of labels: `on` these, or `ignoring` these
    is_on: bool

    def key(self, labels: Labels) -> Labels:
        """What has to be equal on both sides."""
        return only(labels, self.names) if self.is_on else without(labels, NAME, *self.names)

    def result(self, labels: Labels, *, keeps_name: bool) -> Labels:
        """The labels of the result, from those of the left side."""
        if self.is_on:
            return only(labels, self.names)
        return without(labels, *self.names, *(() if keeps_name else (NAME,)))


def combined(operator: str, left: Value, right: Value, modifier: Modifier) -> Value:
    """The result of an operator.

    Raises:
        Refused: 422, several series of a side belong to one of the other.
    """
    with np.errstate(all="ignore"):
        if isinstance(left, Scalar) and isinstance(right, Scalar):
            return Scalar(_computed(operator, left.values, right.values))
        if isinstance(right, Scalar):
            assert isinstance(left, list)
            return _with_scalar(operator, left, right.values, modifier, is_swapped=False)
        if isinstance(left, Scalar):
            return _with_scalar(operator, right, left.values, modifier, is_swapped=True)
        if operator in SETS:
            return _set(operator, left, right, modifier)
        return _of_vectors(operator, left, right, modifier)


def _computed(operator: str, left: Floats, right: Floats) -> Floats:
    """The numbers of an operator; 1 or 0 of a comparison."""
    found = (ARITHMETIC.get(operator) or COMPARISONS[operator])(left, right)
    return np.asarray(found, np.float64)


def _with_scalar(
    operator: str, vector: Vector, number: Floats, modifier: Modifier, *, is_swapped: bool
) -> Vector:
    found = []
    is_filter = operator in COMPARISONS and not modifier.is_bool
    for element in vector:
        values, is_present = element.points
        sides = (number, values) if is_swapped else (values, number)
        result = _computed(operator, *sides)
        if is_filter:
            points = Points(values, is_present & (result != 0))
            found.append(Element(element.labels, points))
        else:
            found.append(element.without_name(Points(result, is_present)))
    return found if is_filter else merged(found)


def _of_vectors(operator: str, left: Vector, right: Vector, modifier: Modifier) -> Vector:
    is_filter = operator in COMPARISONS and not modifier.is_bool
    is_any = np.any([element.points.is_present for element in left], axis=0)
    others = _by_key(
        [
            Element(labels, points._replace(is_present=points.is_present & is_any))
            for labels, points in right
        ],
        modifier,
    )
    matched = [
        (element, others[key])
        for element in left
        if (key := modifier.key(element.labels)) in others
    ]
    found = []
    for (labels, (values, is_present)), other in matched:
        result = _computed(operator, values, other.values)
        are_present = is_present & other.is_present
        if is_filter:
            are_present, result = are_present & (result != 0), values
        found.append(Element(labels, Points(result, are_present)))
    _by_key(found, modifier)
    return merged(
        [Element(modifier.result(each.labels, keeps_name=is_filter), each.points) for each in found]
    )


def _set(operator: str, left: Vector, right: Vector, modifier: Modifier) -> Vector:
    if operator == "or":
        return merged([*left, *_masked(right, left, modifier, is_kept=False)])
    return _masked(left, right, modifier, is_kept=operator == "and")


def _masked(vector: Vector, other: Vector, modifier: Modifier, *, is_kept: bool) -> Vector:
    """Keep, or drop, what is present while an element of the other side with its key is."""
    present: dict[Labels, Any] = {}
    for labels, points in other:
        key = modifier.key(labels)
        present[key] = present.get(key, False) | points.is_present
    found = []
    for labels, points in vector:
        is_matched = present.get(modifier.key(labels), False)
        mask = points.is_present & (is_matched if is_kept else np.logical_not(is_matched))
        found.append(Element(labels, points._replace(is_present=mask)))
    return found


def _by_key(vector: Vector, modifier: Modifier) -> dict[Labels, Points]:
    """The points of each key; raises unless there is at most one element at each time."""
    found: dict[Labels, Points] = {}
    for labels, points in vector:
        key = modifier.key(labels)
        before = found.get(key)
        if before is None:
            found[key] = points
            continue
        if (before.is_present & points.is_present).any():
            raise bounds.execution(
                f"several series of one side match {dict(key)!r:.200}; aggregate them, or match "
                "on more labels: group_left and group_right are not supported"
            )
        values = np.where(before.is_present, before.values, points.values)
        found[key] = Points(values, before.is_present | points.is_present)
    return found
