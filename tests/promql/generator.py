"""Random expressions over the metrics and devices of `fleet`."""

from __future__ import annotations

import random
from collections.abc import Callable

_METRICS = ("speed", "depth")
_MATCHERS = (
    "",
    '{device="car-1"}',
    '{device=~"car-.*"}',
    '{device!="van-1"}',
    '{device!~"car-[23]"}',
    '{device=~"car-1|van-1"}',
)
_OFFSETS = ("", "", "", " offset 7m", " offset 30m")
_NUMBERS = ("0", "1", "2", "-3", "0.5", "60", "1e3", "time()", "NaN", "Inf")
_OVER = ("avg", "min", "max", "sum", "count", "last", "stddev", "present")
_RANGES = ("2m", "5m", "10m", "1h")
_ARITHMETIC = ("+", "-", "*", "/")
_FILTERS = (">", "<", "==", "!=", ">=", "<=")
_BOOLS = ("> bool", "== bool", "<= bool")
_MATCHING = ("", "", " on(device)", " ignoring(device)", " on()", " ignoring(x)")
_AGGREGATIONS = ("sum", "avg", "min", "max", "count", "group")
_GROUPS = ("", " by (device)", " without (device)", " by (__name__)", " without ()", " by (x)")
_FUNCTIONS = ("abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "sgn", "absent", "sort")
_TEMPLATES = (
    "clamp({}, -10, 30)",
    "clamp({}, 5, 1)",
    "clamp_min({}, 10)",
    "clamp_max({}, 50)",
    "round({}, 5)",
    "vector(scalar({}))",
    "-{}",
)


def expression(source: random.Random, depth: int) -> str:
    """A vector; left out is what has no certain result, such as equal values in `topk`."""
    one = source.choice
    if depth <= 0:
        selector, offset = one(_METRICS) + one(_MATCHERS), one(_OFFSETS)
        if source.random() < 0.6:
            return selector + offset
        return f"{one(_OVER)}_over_time({selector}[{one(_RANGES)}]{offset})"

    def inner() -> str:
        return expression(source, depth - 1)

    options: tuple[Callable[[], str], ...] = (
        lambda: f"({inner()} {one((*_ARITHMETIC, '^', *_FILTERS, *_BOOLS))} {one(_NUMBERS)})",
        lambda: f"({one(_NUMBERS)} {one((*_ARITHMETIC, *_FILTERS, *_BOOLS))} {inner()})",
        lambda: f"({inner()} {one((*_ARITHMETIC, *_FILTERS, *_BOOLS))}{one(_MATCHING)} {inner()})",
        lambda: f"({inner()} {one(('and', 'or', 'unless'))}{one(_MATCHING)} {inner()})",
        lambda: f"{one(_AGGREGATIONS)}{one(_GROUPS)}({inner()})",
        lambda: f"{one(_FUNCTIONS)}({inner()})",
        lambda: one(_TEMPLATES).format(inner()),
    )
    return one(options)()
