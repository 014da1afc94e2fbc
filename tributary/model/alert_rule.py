"""Rules for alerts, as the catalogue has them: `[METRIC.alerts.RULE]`. Pure."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from tributary.errors import did_you_mean
from tributary.model import pattern
from tributary.model.window import parse_duration_ms

ABOVE, BELOW, RATE_ABOVE, STALE_FOR = CONDITIONS = ("above", "below", "rate_above", "stale_for")
SEVERITIES = ("info", "warning", "critical")
RULES_PER_METRIC_MAX = 100
RULES_MAX = 1_000  # of a catalogue
NAME_PATTERN = "[a-zA-Z_][a-zA-Z0-9_-]{0,63}"
_NAME = re.compile(NAME_PATTERN)
_CLEAR = {"clear_below": (ABOVE, RATE_ABOVE), "clear_above": (BELOW,)}  # with which conditions
_FIELDS = (*CONDITIONS, *_CLEAR, "for", "severity", "devices")


class Rule(NamedTuple):
    """A condition on one metric of the devices that match a pattern."""

    metric: str
    name: str
    condition: str  # one of CONDITIONS
    limit: float  # of the value; of `rate_above` per second, of `stale_for` in ms
    clear: float | None = None  # where a firing alert ends; None: as soon as the limit is kept
    for_ms: int = 0  # how long the condition must hold before the alert is firing
    severity: str = "warning"
    devices: str = pattern.ANY  # pattern

    @property
    def is_stale(self) -> bool:
        """Whether it is about silence and not about values."""
        return self.condition == STALE_FOR


def parse_all(metric: str, tables: Any, errors: list[str]) -> tuple[Rule, ...]:
    """The rules of a metric by name; what is wrong is appended to `errors`."""
    where = f"[{metric}.alerts]"
    if not isinstance(tables, dict) or not all(isinstance(t, dict) for t in tables.values()):
        errors.append(f"{where}: write a table for each rule, [{metric}.alerts.RULE]")
        return ()
    if len(tables) > RULES_PER_METRIC_MAX:
        errors.append(f"{where}: {len(tables)} rules; at most {RULES_PER_METRIC_MAX} per metric")
        return ()
    found = [_parse(metric, name, tables[name], errors) for name in sorted(tables)]
    return tuple(rule for rule in found if rule is not None)


def digest(rules: Iterable[Rule]) -> str:
    """Identifies rules; empty without any."""
    texts = sorted(map(repr, rules))
    if not texts:
        return ""
    return hashlib.blake2b("\n".join(texts).encode(), digest_size=8).hexdigest()


def _parse(metric: str, name: str, table: dict[str, Any], errors: list[str]) -> Rule | None:
    where, before = f"[{metric}.alerts.{name}]", len(errors)
    if _NAME.fullmatch(name) is None:
        errors.append(f"{where}: not a valid name of a rule; use a letter or _, then up to 63 of "
                      "a-z A-Z 0-9 _ -")  # fmt: skip
    values: dict[str, Any] = {}
    for field, given in table.items():
        try:
            values[field] = _value(field, given)
        except ValueError as error:
            errors.append(f"{where} {field} = {given!r}: {error}")
    conditions = [field for field in CONDITIONS if field in table]
    if len(conditions) != 1:
        errors.append(
            f"{where}: has {' and '.join(conditions) or 'no condition'}; use exactly one of "
            f"{', '.join(CONDITIONS)}, and a rule for each"
        )
    if len(errors) > before:
        return None
    (condition,) = conditions
    errors += [f"{where} {problem}" for problem in _contradictions(condition, values)]
    if len(errors) > before:
        return None
    clear = values.get("clear_below", values.get("clear_above"))
    others = {field: values[field] for field in ("severity", "devices") if field in values}
    return Rule(
        metric, name, condition, values[condition], clear, for_ms=values.get("for", 0), **others
    )


def _value(field: str, given: Any) -> Any:
    """The value of a field.

    Raises:
        ValueError: the field is unknown, or the value invalid.
    """
    if field not in _FIELDS:
        raise ValueError(f"unknown field; {did_you_mean(field, _FIELDS)}")
    if field == "severity":
        if given not in SEVERITIES:
            raise ValueError(f"use {', '.join(SEVERITIES)}")
        return given
    if field == "devices":
        if not isinstance(given, str) or not pattern.is_pattern(given):
            raise ValueError(f"not a valid pattern; use 1 to 128 of {pattern.RULE}")
        return given
    if field in (STALE_FOR, "for"):
        if not isinstance(given, str):
            raise ValueError('not a duration; write it as text, like "30s"')
        return parse_duration_ms(given)
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise ValueError("not a finite number")
    return float(given)


def _contradictions(condition: str, values: dict[str, Any]) -> Iterable[str]:
    for field, conditions in _CLEAR.items():
        if field in values and condition not in conditions:
            yield f"{field} = {values[field]:g}: only with {' or '.join(conditions)}"
    if condition == STALE_FOR and "for" in values:
        yield "for: not with stale_for, which is a duration itself"
    limit = values[condition]
    if condition in (ABOVE, RATE_ABOVE) and values.get("clear_below", limit) > limit:
        yield f"clear_below = {values['clear_below']:g}: must be at most {condition} = {limit:g}"
    if condition == BELOW and values.get("clear_above", limit) < limit:
        yield f"clear_above = {values['clear_above']:g}: must be at least {condition} = {limit:g}"
