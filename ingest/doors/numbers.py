"""Numbers of an object that a client sent, and the reading they make.

What is certainly a number is taken: JSON numbers, booleans, and numbers as text. Everything else
is ignored by name: null, text, arrays. Nested objects are flattened with dots.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ingest.doors.record import validate
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.model.frame import Block

DEPTH_MAX = 16  # of nested objects
# Digits with a leading zero are rather an identifier.
_NUMBER = re.compile(r"(?!0[0-9]+\Z)[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_TEXT_MAX = 400
_FOREIGN = re.compile(r"[^a-zA-Z0-9_.]+")


class Numbers(NamedTuple):
    """The numbers of an object by name, and the names of what is not a number."""

    metrics: dict[str, float]
    ignored: list[str]


def flatten(item: Mapping[str, Any]) -> Numbers:
    """The numbers of an object; nested ones as `outer.inner`.

    Raises:
        Refused: 422 if two members flatten to one name, or objects are nested too deeply.
    """
    found = Numbers({}, [])
    for name, value in members(item).items():
        number = of(value)
        if number is None:
            found.ignored.append(name)
        else:
            found.metrics[name] = number
    return found


def members(item: Mapping[str, Any]) -> dict[str, Any]:
    """The members of an object; those of nested objects as `outer.inner`.

    Raises:
        Refused: 422 if two members flatten to one name, or objects are nested too deeply.
    """
    found: dict[str, Any] = {}
    for name, value in _members(item, "", DEPTH_MAX):
        if name in found:
            raise Refused(
                f"{name!r:.80} occurs twice, as a name and in a nested object; rename one",
                status=422,
                code="ambiguous_field",
                field=name[:80],
            )
        found[name] = value
    return found


def of(value: Any) -> float | None:
    """A number, a boolean (1 or 0) or a number as text; None for everything else.

    Numbers beyond the range of doubles are infinite; `validate.number` refuses them.
    """
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, int | float):
        return None if value != value else value  # noqa: PLR0124 (not a number)
    if isinstance(value, str) and len(value) <= _TEXT_MAX:
        text = value.strip()
        return float(text) if _NUMBER.fullmatch(text) else None
    return None


def metric_name(text: str) -> str:
    """A metric name for a name of another system: other characters become `_`."""
    name = _FOREIGN.sub("_", text)
    return name if name[:1].isalpha() or name[:1] == "_" else "_" + name


def reading(
    device: str, recorded_at: Any, metrics: Mapping[str, float], arrived_ms: int, rules: Rules
) -> Block:
    """A reading of a door, by the same rules as at `/record`.

    Args:
        device: as sent.
        recorded_at: RFC 3339, or a number whose unit follows from its size; None for arrival.
        metrics: values by metric.
        arrived_ms: the time of arrival.
        rules: of the deployment.

    Raises:
        Refused: 422.
    """
    rules.devices.check(device)
    time_ms = arrived_ms
    if recorded_at is not None:
        time_ms = validate.time_ms(recorded_at, arrived_ms, rules)
    validate.check_names(dict(metrics), rules)
    return Block(
        device, time_ms, {name: validate.number(name, v, rules) for name, v in metrics.items()}
    )


def _members(item: Mapping[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    if depth == 0:
        raise Refused(
            f"{prefix!r:.80} is nested too deeply; nest at most {DEPTH_MAX} objects",
            status=422,
            code="nested_too_deeply",
            field=prefix[:80],
        )
    for name, value in item.items():
        if isinstance(value, Mapping):
            yield from _members(value, f"{prefix}{name}.", depth - 1)
        else:
            yield prefix + name, value
