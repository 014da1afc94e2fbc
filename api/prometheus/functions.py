"""The functions of PromQL that are computed from values alone. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from api.prometheus import bounds
from api.prometheus.vectors import Element, Floats, Points, Scalar, Value, Vector, merged
from tributary.errors import Refused
from tributary.model.groups import Ints

COUNTERS = ("increase", "irate", "rate", "resets")


def _round(values: Floats, to_nearest: float | Floats = 1.0) -> Floats:
    inverse = 1.0 / np.asarray(to_nearest)  # as Prometheus does: fewer digits of rounding error
    rounded: Floats = np.floor(values * inverse + 0.5) / inverse
    return rounded


def _clamp(values: Floats, low: Floats, high: Floats) -> Floats:
    return np.maximum(low, np.minimum(high, values))


POINTWISE: dict[str, Callable[..., Floats]] = {
    "abs": np.abs,
    "ceil": np.ceil,
    "clamp": _clamp,
    "clamp_max": np.minimum,
    "clamp_min": np.maximum,
    "exp": np.exp,
    "floor": np.floor,
    "ln": np.log,
    "log10": np.log10,
    "log2": np.log2,
    "round": _round,
    "sgn": np.sign,
    "sqrt": np.sqrt,
}
SUPPORTED = {*POINTWISE, "scalar", "sort", "sort_desc", "time", "vector"}


def call(name: str, arguments: Sequence[Value], times_ms: Ints) -> Value:
    """The result of a function of `SUPPORTED`; the parser has checked the arguments."""
    if name == "time":
        return Scalar(times_ms / 1000)
    (first, *others) = arguments
    numbers = [other.values for other in others if isinstance(other, Scalar)]
    if isinstance(first, Scalar):  # vector
        return [Element((), Points(first.values, np.ones(len(times_ms), np.bool_)))]
    if name == "scalar":
        return Scalar(_only(first, len(times_ms)))
    if name in ("sort", "sort_desc"):
        return _sorted(first, is_descending=name == "sort_desc")
    with np.errstate(all="ignore"):
        computed = [
            Element(
                element.labels,
                element.points._replace(values=POINTWISE[name](element.points.values, *numbers)),
            )
            for element in first
        ]
    if name == "clamp":
        is_possible = numbers[0] <= numbers[1]
        computed = [
            Element(labels, points._replace(is_present=points.is_present & is_possible))
            for labels, points in computed
        ]
    return nameless(computed)


def nameless(vector: Vector) -> Vector:
    """The vector without the name of the metric, which the values are not any more."""
    return merged([element.without_name(element.points) for element in vector])


def absent(vector: Vector, labels: Mapping[str, str], times_ms: Ints) -> Vector:
    """1 while nothing is present."""
    is_absent = np.ones(len(times_ms), np.bool_)
    for element in vector:
        is_absent &= ~element.points.is_present
    return [Element(tuple(sorted(labels.items())), Points(np.ones(len(times_ms)), is_absent))]


def not_a_counter(name: str, metric: str) -> Refused:
    """400 for a function of counters."""
    return bounds.bad_data(
        f"{name} is for counters, and {metric!r} is not a counter but a gauge; use avg_over_time, "
        'max_over_time or the like, or declare it in the catalogue with kind = "counter"'
    )


def _only(vector: Vector, count: int) -> Floats:
    """The value while exactly one element is present, else NaN."""
    present = np.zeros(count, np.int64)
    values = np.full(count, np.nan)
    for element in vector:
        present += element.points.is_present
        values = np.where(element.points.is_present, element.points.values, values)
    return np.where(present == 1, values, np.nan)


def _sorted(vector: Vector, *, is_descending: bool) -> Vector:
    """By value at the last time, NaN at the end; only an instant query shows the order."""

    def key(element: Element) -> tuple[bool, float]:
        value = float(element.points.values[-1])
        return value != value, -value if is_descending else value  # noqa: PLR0124 (is it NaN?)

    return sorted(vector, key=key)
