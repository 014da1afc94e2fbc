"""The rules for one reading: its device, its time and its numbers. Pure.

Every function raises `Refused` (422, or 400 for a wrong shape) with the field and the remedy.
"""

from __future__ import annotations

import math
from typing import Any

from ingest.limits import Rules, invalid_device
from tributary.errors import Refused
from tributary.model import catalogue, reading
from tributary.model.frame import Block


def block(item: Any, arrived_ms: int, rules: Rules) -> Block:
    """A reading from its JSON object."""
    if not isinstance(item, dict):
        raise wrong_shape(f"a JSON {kind(item)} is not a reading")
    name = device(item, rules)
    recorded_at_ms = arrived_ms
    if "recorded_at" in item:
        recorded_at_ms = time_ms(item["recorded_at"], arrived_ms, rules)
    metrics = {k: number(k, v, rules) for k, v in item.items() if k not in reading.RESERVED}
    check_names(metrics, rules)
    return Block(name, recorded_at_ms, dict(metrics))


def device(item: dict[str, Any], rules: Rules) -> str:
    """The device of a reading."""
    given = item.get("device", reading.DEFAULT_DEVICE)
    if not isinstance(given, str):
        raise invalid_device(given)
    rules.devices.check(given)
    return given


def time_ms(given: Any, arrived_ms: int, rules: Rules) -> int:
    """A `recorded_at` in UTC milliseconds."""
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise _invalid_time(f"a JSON {kind(given)} is not a time")
    try:
        recorded_at_ms = reading.time_ms(given)
    except (ValueError, OverflowError) as error:
        raise _invalid_time(str(error)) from None
    if recorded_at_ms > arrived_ms + rules.future_max_ms:
        raise Refused(
            f"recorded_at {given!r:.60} is in the future; set the clock of the device "
            f"(at most {rules.future_max_ms} ms ahead)",
            status=422,
            code="in_future",
            field="recorded_at",
        )
    return recorded_at_ms


def number(name: str, value: Any, rules: Rules) -> float:
    """The value of a metric: a finite double, and a plausible one if others are rejected."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(
            f"{name!r:.80} is {kind(value)}, not a number; send a finite JSON number",
            status=422,
            code="not_a_number",
            field=name[:80],
        )
    try:
        double = float(value)
    except OverflowError:
        double = math.inf
    if not math.isfinite(double):
        raise Refused(
            f"{name!r:.80} is too large for a double; send a finite number",
            status=422,
            code="out_of_range",
            field=name[:80],
        )
    catalogue.check(name, double, rules.ranges)
    return double


def check_names(metrics: dict[str, Any], rules: Rules) -> None:
    """Validate the names of a reading's metrics, and their number."""
    if not metrics:
        raise Refused(
            "the reading contains no metrics; send at least one number with its name",
            status=422,
            code="no_metrics",
        )
    if len(metrics) > reading.METRICS_MAX:
        raise Refused(
            f"{len(metrics)} metrics in one reading; send at most {reading.METRICS_MAX}",
            status=422,
            code="too_many_metrics",
        )
    rules.metrics.check(metrics)


def wrong_shape(problem: str) -> Refused:
    """400 for JSON that is not a reading."""
    return Refused(
        f"{problem}; send an object of numbers like "
        '{"engine_temperature": 92.3}, or an array of such objects',
        status=400,
        code="wrong_shape",
    )


def kind(value: Any) -> str:
    """The JSON type of a value."""
    if value is None:
        return "null"
    names = {
        bool: "boolean",
        int: "number",
        float: "number",
        reading.Written: "number",
        str: "string",
        list: "array",
    }
    return names.get(type(value), "object")


def _invalid_time(problem: str) -> Refused:
    return Refused(
        f"recorded_at: {problem}; send {reading.TIME_RULE}",
        status=422,
        code="invalid_time",
        field="recorded_at",
    )
