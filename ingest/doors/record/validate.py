"""The rules for single values: times, numbers and names. Pure.

Every function raises `Refused` (422, or 400 for a wrong shape) with the field and the remedy.
"""

from __future__ import annotations

import math
from typing import Any

from ingest.limits import Rules
from tributary.errors import Refused
from tributary.model import catalogue, reading


def time_ms(given: Any, arrived_ms: int, rules: Rules, field: str = "recorded_at") -> int:
    """A time in UTC milliseconds, sent as `field`."""
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise _invalid_time(field, f"a JSON {kind(given)} is not a time")
    number = reading.number_of(given) if isinstance(given, str) else None
    try:
        found_ms = reading.time_ms(given if number is None else number)
    except reading.TooEarly:
        found_ms = -1
    except (ValueError, OverflowError) as error:
        raise _invalid_time(field, str(error)) from None
    if found_ms < rules.oldest_ms:
        raise Refused(
            f"{field} {given!r:.60} is before {reading.rfc3339(rules.oldest_ms)} (oldest_time); "
            f"set the clock of the device, or leave {field} out to use the time of arrival",
            status=422,
            code="in_past",
            field=field,
        )
    if found_ms > arrived_ms + rules.future_max_ms:
        raise Refused(
            f"{field} {given!r:.60} is in the future; set the clock of the device "
            f"(at most {rules.future_max_ms} ms ahead)",
            status=422,
            code="in_future",
            field=field,
        )
    return found_ms


def number(name: str, value: Any, rules: Rules) -> float:
    """The value of a metric: a finite double, and a plausible one if others are rejected."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise not_a_number(name, value)
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


def not_a_number(name: str, value: Any) -> Refused:
    """422 for a value that is not a number."""
    return Refused(
        f"{name!r:.80} is {described(value)}, not a number; send a finite JSON number",
        status=422,
        code="not_a_number",
        field=name[:80],
    )


def no_numbers(names: list[str], values: dict[str, Any]) -> Refused:
    """422 for a reading in which nothing is a number; `names` are its members, flattened."""
    if len(names) == 1 and names[0] in values:
        return not_a_number(names[0], values[names[0]])
    shown = ", ".join(f"{name!r:.80}" for name in names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return Refused(
        f"none of the values is a number ({shown}{more}); send at least one finite JSON number",
        status=422,
        code="not_a_number",
        field=names[0][:80],
    )


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


def described(value: Any) -> str:
    """A value in an error message: its JSON type, and the text if it is one."""
    return f"the string {value!r:.60}" if isinstance(value, str) else kind(value)


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


def _invalid_time(field: str, problem: str) -> Refused:
    return Refused(
        f"{field}: {problem}; send {reading.TIME_RULE}",
        status=422,
        code="invalid_time",
        field=field,
    )
