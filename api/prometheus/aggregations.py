"""Aggregation of the series of a vector. Pure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from api.prometheus.vectors import NAME, Element, Floats, Labels, Points, Vector, only, without

Mask = NDArray[np.bool_]
RANKS = ("topk", "bottomk")


def aggregated(
    operator: str, vector: Vector, names: tuple[str, ...], *, is_without: bool
) -> Vector:
    """Aggregate the series with equal labels `by` names, or `without` them."""
    groups = _groups(vector, names, is_without=is_without)
    found = []
    for labels, elements in groups.items():
        values = np.stack([element.points.values for element in elements])
        mask = np.stack([element.points.is_present for element in elements])
        with np.errstate(all="ignore"):
            result = OPERATORS[operator](values, mask)
        found.append(Element(labels, Points(result, np.any(mask, axis=0))))
    return found


def ranked(
    operator: str, vector: Vector, limits: Floats, names: tuple[str, ...], *, is_without: bool
) -> Vector:
    """The `limits` largest or smallest values at each time, with the labels of their series."""
    found = []
    for elements in _groups(vector, names, is_without=is_without).values():
        values = np.stack([element.points.values for element in elements])
        mask = np.stack([element.points.is_present for element in elements])
        last = np.inf  # NaN is behind every number, and what is not present behind NaN
        keys = np.nan_to_num(-values if operator == "topk" else values, nan=last, posinf=last)
        order = np.lexsort((np.isnan(values), keys, ~mask), axis=0)
        rank = np.argsort(order, axis=0)
        kept = mask & (rank < np.nan_to_num(limits, nan=0))
        found += [
            Element(element.labels, element.points._replace(is_present=kept[place]))
            for place, element in enumerate(elements)
        ]
    return found


def _groups(
    vector: Vector, names: tuple[str, ...], *, is_without: bool
) -> dict[Labels, list[Element]]:
    groups: dict[Labels, list[Element]] = {}
    for element in vector:
        labels = element.labels
        key = without(labels, NAME, *names) if is_without else only(labels, names)
        groups.setdefault(key, []).append(element)
    return groups


def _sum(values: Floats, mask: Mask) -> Floats:
    total: Floats = np.where(mask, values, 0).sum(axis=0)
    return total


def _count(_values: Floats, mask: Mask) -> Floats:
    count: Floats = mask.sum(axis=0, dtype=np.float64)
    return count


def _mean(values: Floats, mask: Mask) -> Floats:
    count = _count(values, mask)
    mean = _sum(values, mask) / count
    return np.where(np.isinf(mean), _sum(values / count, mask), mean)  # the sum may overflow


def _min(values: Floats, mask: Mask) -> Floats:
    found: Floats = np.fmin.reduce(np.where(mask, values, np.nan), axis=0)
    return found


def _max(values: Floats, mask: Mask) -> Floats:
    found: Floats = np.fmax.reduce(np.where(mask, values, np.nan), axis=0)
    return found


def _group(_values: Floats, mask: Mask) -> Floats:
    return np.ones(mask.shape[1])


def _variance(values: Floats, mask: Mask) -> Floats:
    return _mean(np.square(values - _mean(values, mask)), mask)


def _stddev(values: Floats, mask: Mask) -> Floats:
    return np.sqrt(_variance(values, mask))


OPERATORS: dict[str, Callable[[Floats, Mask], Floats]] = {
    "avg": _mean,
    "count": _count,
    "group": _group,
    "max": _max,
    "min": _min,
    "stddev": _stddev,
    "stdvar": _variance,
    "sum": _sum,
}
