"""One reading from the object that a client sent: its device, its time and its numbers. Pure.

Every function raises `Refused` (422, or 400 for a wrong shape) with the field and the remedy.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from ingest.doors import numbers
from ingest.doors.record import validate
from ingest.limits import Rules, invalid_device
from tributary.errors import Refused
from tributary.model import reading
from tributary.model.frame import Block

IGNORED_MAX = 100  # names in a response
_NAME_MAX = 80
_NUMBERS = frozenset((int, float, reading.Written))
DEVICE, TIME = frozenset(reading.DEVICE_FIELDS), frozenset(reading.TIME_FIELDS)


class Ignored(dict[str, None]):
    """The distinct names of what is not a number, in order; at most `IGNORED_MAX`."""

    def add(self, names: Iterable[str]) -> None:
        """Add names, each cut to 80 characters."""
        for name in names:
            if len(self) >= IGNORED_MAX:
                return
            self[name[:_NAME_MAX]] = None


def block(item: Any, arrived_ms: int, rules: Rules, ignored: Ignored | None = None) -> Block:
    """A reading; names of values that are not numbers are added to `ignored`."""
    if not isinstance(item, dict):
        raise validate.wrong_shape(f"a JSON {validate.kind(item)} is not a reading")
    name = device(item, rules)
    recorded_at_ms = time_ms(item, arrived_ms, rules)
    values = measured(item)
    metrics: dict[str, Any] = values
    without: list[str] = []
    if not _NUMBERS.issuperset(map(type, values.values())):
        for each, value in values.items():
            if isinstance(value, list):
                raise validate.not_a_number(each, value)
        metrics, without = numbers.flatten(values)
    if without and not metrics:
        raise validate.no_numbers(without, values)
    validate.check_names(metrics, rules)
    doubles = {k: validate.number(k, v, rules) for k, v in metrics.items()}
    if ignored is not None:
        ignored.add(without)
    return Block(name, recorded_at_ms, {**doubles})


def device(item: dict[str, Any], rules: Rules) -> str:
    """The device of a reading: `device`, or the one other name that is present."""
    field = find(item, DEVICE, "device")
    if field is None:
        _reject_misspelt(item, DEVICE)
        return reading.DEFAULT_DEVICE
    given = item[field]
    if isinstance(given, int) and not isinstance(given, bool):
        given = str(given) if abs(given) < 10**40 else given
    if not isinstance(given, str):
        raise invalid_device(given)
    rules.devices.check(given)
    return given


def time_ms(item: dict[str, Any], arrived_ms: int, rules: Rules) -> int:
    """The time of a reading: `recorded_at`, or the one other name; null is the time of arrival."""
    field = find(item, TIME, "time")
    if field is None:
        _reject_misspelt(item, TIME)
        return arrived_ms
    given = item[field]
    return arrived_ms if given is None else validate.time_ms(given, arrived_ms, rules, field)


def find(item: dict[str, Any], names: frozenset[str], what: str) -> str | None:
    """The only one of these names that the object has; those that are null count less.

    Raises:
        Refused: 422 ambiguous_field.
    """
    present = item.keys() & names
    if len(present) > 1:
        present = {name for name in present if item[name] is not None} or {min(present)}
    if len(present) > 1:
        found = [name for name in item if name in present]
        raise Refused(
            f"{' and '.join(map(repr, found))} could each be the {what} of the reading; send one",
            status=422,
            code="ambiguous_field",
            field=found[0],
        )
    return next(iter(present), None)


def measured(item: dict[str, Any]) -> dict[str, Any]:
    """The members other than device and time."""
    return {name: value for name, value in item.items() if name not in reading.RESERVED}


def _reject_misspelt(item: dict[str, Any], names: frozenset[str]) -> None:
    """Reject text whose name is nearly one of `names`; numbers are checked as metrics."""
    for name, value in item.items():
        if not isinstance(value, str) or len(name) > _LONGEST or name in reading.RESERVED:
            continue
        near = misspelt(name)
        if near in names and not _is_local_time(name, value):
            raise Refused(
                f"{name!r} is not a known field; did you mean {near!r}?",
                status=422,
                code="unknown_field",
                field=name,
            )


@lru_cache(maxsize=1024)
def misspelt(name: str) -> str | None:
    """The reserved name that this short one differs from by a letter, two swapped, or case."""
    folded = name.replace("_", "").casefold()
    shorter = (folded[:i] + folded[i + 1 :] for i in range(len(folded)))
    near = next((_SHORTER[word] for word in (folded, *shorter) if word in _SHORTER), None)
    return reading.reserved(name) or near


def _is_local_time(name: str, value: str) -> bool:
    """Whether it is the `Time` of Tasmota: local, without a zone, and thus not usable."""
    if name != "Time":
        return False
    try:
        reading.time_ms(value)
    except ValueError:
        return True
    return False


def _one_letter_less() -> dict[str, str]:
    """Reserved names of six letters or more, also without one of their letters."""
    found: dict[str, str] = {}
    for name in sorted(reading.RESERVED):
        folded = name.replace("_", "").casefold()
        if len(folded) >= len("device"):
            found[folded] = name
            for i in range(len(folded)):
                found.setdefault(folded[:i] + folded[i + 1 :], name)
    return found


_SHORTER = _one_letter_less()
_LONGEST = max(map(len, reading.RESERVED)) + 2
