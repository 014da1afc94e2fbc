"""The rules of the catalogue as columns, for the evaluation of many series at once. Pure.

The rules that apply to a series are its profile; series with the same rules share one, and
profile 0 has none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tributary.model import alert_rule, pattern
from tributary.model.alert_rule import Rule
from tributary.model.groups import Floats, Ints

NO_PROFILE = 0
NO_RULE = 0  # fills the profiles that have fewer rules than others
Flags = NDArray[np.bool_]


class Columns(NamedTuple):
    """Rules by number, and profiles by number.

    Of a rule on values below a limit, sign, limit and clear are those of the negative value, so
    that every limit is exceeded from below.
    """

    sign: Floats
    limit: Floats  # the condition holds while the signed value is greater
    clear: Floats  # a firing alert ends with a signed value that is at most this
    for_ms: Ints
    is_rate: Flags
    is_stale: Flags  # then limit is infinite
    stale_ms: Ints
    of: Ints  # the rules of each profile, one row per profile


class Rules:
    """The rules of all metrics. Profiles are numbered as they are found."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        nothing = Rule("", "", alert_rule.ABOVE, math.inf)
        self.rules = [nothing, *rules]
        self.digest = alert_rule.digest(self.rules[1:])
        self._of_metric: dict[str, list[int]] = {}
        self._patterns: dict[str, list[tuple[int, re.Pattern[str]]]] = {}  # not of any device
        for number, rule in enumerate(self.rules[1:], 1):
            self._of_metric.setdefault(rule.metric, []).append(number)
            if rule.devices != pattern.ANY:
                matches = number, pattern.compiled(rule.devices)
                self._patterns.setdefault(rule.metric, []).append(matches)
        self.width = max(map(len, self._of_metric.values()), default=0)
        self.has_stale = any(rule.is_stale for rule in self.rules)
        self._profiles: list[tuple[int, ...]] = [()]
        self._numbers: dict[tuple[int, ...], int] = {(): NO_PROFILE}
        # By metric, and which of its patterns match: most rules are of any device.
        self._matched: dict[tuple[str, tuple[int, ...]], int] = {}
        self._columns: Columns | None = None

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._of_metric)

    def profile(self, device: str, metric: str) -> int:
        """The number of the profile of a series."""
        if metric not in self._of_metric:
            return NO_PROFILE
        patterns = self._patterns.get(metric, ())
        key = metric, tuple(number for number, each in patterns if each.fullmatch(device))
        found = self._matched.get(key)
        if found is None:
            found = self._matched[key] = self._new(*key)
        return found

    def _new(self, metric: str, matched: tuple[int, ...]) -> int:
        """The number of the profile with the rules of a metric, if these of its patterns match."""
        others = {number for number, _ in self._patterns.get(metric, ())}.difference(matched)
        rules = tuple(number for number in self._of_metric[metric] if number not in others)
        number = self._numbers.get(rules)
        if number is None:
            number = self._numbers[rules] = len(self._profiles)
            self._profiles.append(rules)
            self._columns = None
        return number

    def numbers(self, profile: int) -> tuple[int, ...]:
        """The numbers of the rules of a profile, in the order of their columns."""
        return self._profiles[profile]

    @property
    def columns(self) -> Columns:
        """All rules, and the profiles found until now."""
        if self._columns is None:
            self._columns = _columns(self.rules, self._profiles, max(1, self.width))
        return self._columns


def _columns(rules: list[Rule], profiles: list[tuple[int, ...]], width: int) -> Columns:
    sign = np.array([-1.0 if rule.condition == alert_rule.BELOW else 1.0 for rule in rules])
    limit = np.array([math.inf if rule.is_stale else rule.limit for rule in rules]) * sign
    of_rates = [rule.condition == alert_rule.RATE_ABOVE for rule in rules]
    of = np.full((len(profiles), width), NO_RULE)
    for number, profile in enumerate(profiles):
        of[number, : len(profile)] = profile
    return Columns(
        sign, limit, np.array([_clear(rule) for rule in rules]),
        np.array([rule.for_ms for rule in rules]),
        np.array(of_rates), np.array([rule.is_stale for rule in rules]),
        np.array([int(rule.limit) if rule.is_stale else 0 for rule in rules]),
        of,
    )  # fmt: skip


def _clear(rule: Rule) -> float:
    """The greatest signed value with which a firing alert ends."""
    sign = -1.0 if rule.condition == alert_rule.BELOW else 1.0
    if rule.clear is None:
        return sign * rule.limit
    return math.nextafter(sign * rule.clear, -math.inf)
