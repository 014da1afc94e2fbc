"""The states of the rules of the series in memory: one row per row of the table, a column per rule.

A row has the range of values, and of rates, in which no rule changes its state, and when one may
change it by time alone. So a reading needs these comparisons only, however many rules there are
and whatever their states, unless one changes.

Most alerts are ok, so the columns are allocated with zeros, of which the operating system keeps
no page until something else is written there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from loguru import logger

from aggregator.alerts.rules import NO_PROFILE, Rules
from tributary.model import alert
from tributary.model.alert import STATES, AlertState, Transition, transition_id
from tributary.model.alert_rule import Rule

OK, PENDING, FIRING = range(len(STATES))
_WHEN_TAKEN = -1  # instead of a time
_NEVER_MS = 2**62
_RANGES_MAX = 10_000  # that are kept
_ALWAYS_MS = -1  # earlier than any reading
_COLUMNS = (
    "partition", "profile", "active", "phase", "since_ms", "value", "values", "rates", "due_ms",
)  # fmt: skip


class Change(NamedTuple):
    """A rule for one series has entered another state."""

    row: int
    rule: Rule
    state: int  # numbers of STATES
    was: int
    since_ms: int
    value: float

    def transition(self, device: str) -> Transition:
        """As it is stored."""
        metric, name, state = self.rule.metric, self.rule.name, STATES[self.state]
        id_ = transition_id(device, metric, name, state, self.since_ms)
        severity, was = self.rule.severity, STATES[self.was]
        return Transition(
            device, metric, name, severity, state, was, self.since_ms, self.value, id_
        )


class Ranges(NamedTuple):
    """In which no rule changes its state, both ends included."""

    values: tuple[float, float]
    rates: tuple[float, float]
    is_due: bool  # whether any reading may change one
    pending: list[tuple[int, int]]  # columns of those that are due some time after they began


def quiet(rules: Rules, profile: int, phases: bytes) -> Ranges:
    """The ranges for a profile, whose rules have these states."""
    columns = rules.columns
    ends = {False: [-math.inf, math.inf], True: [-math.inf, math.inf]}  # of values, of rates
    is_due, pending = False, []
    for column, number in enumerate(rules.numbers(profile)):
        rule, phase = rules.rules[number], phases[column]
        if rule.is_stale:
            is_due |= phase == FIRING
            continue
        limit, clear = float(columns.limit[number]), float(columns.clear[number])
        first, last = -math.inf, math.inf  # of signed values
        if phase == OK:
            last = limit
        elif phase == PENDING:
            first = math.nextafter(limit, math.inf)
            pending.append((column, rule.for_ms))
        else:
            first = math.nextafter(clear, math.inf)
        if columns.sign[number] < 0:
            first, last = -last, -first
        end = ends[bool(columns.is_rate[number])]
        end[0], end[1] = max(end[0], first), min(end[1], last)
    values, rates = ends[False], ends[True]
    return Ranges((values[0], values[1]), (rates[0], rates[1]), is_due, pending)


class States:
    """Profile and states by row, and what has changed since it was last taken."""

    def __init__(self, rules: Rules, rows_max: int) -> None:
        self.rules = rules
        self.partition = np.zeros(rows_max, np.int32)  # of a row with a profile
        self.profile = np.zeros(rows_max, np.int32)
        self.active = np.zeros(rows_max, np.int32)  # how many rules are not ok
        self.phase = np.zeros((rows_max, rules.width), np.int8)
        self.since_ms = np.zeros((rows_max, rules.width), np.int64)
        self.value = np.zeros((rows_max, rules.width))
        kept = rows_max if rules else 0
        self.values, self.rates = np.zeros((kept, 2)), np.zeros((kept, 2))  # first and last
        self.due_ms = np.zeros(kept, np.int64)
        self._ranges: dict[tuple[int, bytes], Ranges] = {}  # by profile and states
        self._changes: dict[int, list[Change]] = {}  # by partition
        self._due: dict[int, set[int]] = {}  # rows to look at when they may become stale

    def load(self, partition: int, row: int, series: tuple[str, str], packed: bytes | None) -> None:
        """Set the states of a row to the stored ones; those of rules that no longer apply end.

        Unreadable ones are logged and count as ok: they must not prevent that readings are applied.
        """
        profile = self.rules.profile(*series)
        self.profile[row], self.partition[row] = profile, partition
        if packed is not None:
            self._load(partition, row, series, packed)
        if profile:
            self._set_ranges(row)

    def _load(self, partition: int, row: int, series: tuple[str, str], packed: bytes) -> None:
        try:
            stored = alert.parse_states(packed)
        except ValueError as error:
            log = logger.bind(action="alerts_unreadable", series="|".join(series))
            log.bind(reason=str(error)).error("stored alerts are unreadable, and count as ok")
            return
        for column, rule in self.rules_of(int(self.profile[row])):
            if (found := stored.pop(rule.name, None)) is not None:
                self._set(row, column, STATES.index(found.state), found.since_ms, found.value)
        self.active[row] = np.count_nonzero(self.phase[row])
        for name, gone in stored.items():
            rule = Rule(series[1], name, "", 0.0, severity=gone.severity)
            ended = Change(row, rule, OK, STATES.index(gone.state), _WHEN_TAKEN, gone.value)
            self._changes.setdefault(partition, []).append(ended)

    def rules_of(self, profile: int) -> Iterable[tuple[int, Rule]]:
        """The columns and rules of a profile."""
        return enumerate(self.rules.rules[number] for number in self.rules.numbers(profile))

    def enter(self, change: Change, column: int) -> None:
        """Enter another state."""
        self._set(change.row, column, change.state, change.since_ms, change.value)
        self.active[change.row] += int(change.was == OK) - int(change.state == OK)
        self._changes.setdefault(int(self.partition[change.row]), []).append(change)
        self._set_ranges(change.row)

    def watch(self, rows: Iterable[int]) -> None:
        """Write when these rows become stale unless they record."""
        for row in rows:
            self._due.setdefault(int(self.partition[row]), set()).add(row)

    def take_changes(self, partition: int, now_ms: int) -> list[Change]:
        """What has changed of a partition; alerts of rules that were removed end at `now_ms`."""
        taken = self._changes.pop(partition, [])
        return [c._replace(since_ms=now_ms) if c.since_ms == _WHEN_TAKEN else c for c in taken]

    def take_watched(self, partition: int) -> set[int]:
        """The rows passed to `watch`."""
        return self._due.pop(partition, set())

    def packed(self, row: int) -> bytes | None:
        """The states of a row as they are stored; None if all are ok."""
        if not self.active[row]:
            return None
        held: dict[str, AlertState] = {}
        for column, rule in self.rules_of(int(self.profile[row])):
            if state := int(self.phase[row, column]):
                since_ms, value = int(self.since_ms[row, column]), float(self.value[row, column])
                held[rule.name] = AlertState(STATES[state], since_ms, value, rule.severity)
        return alert.encode(held)

    def stale_at_ms(self, row: int, newest_ms: int) -> int | None:
        """When the next rule on silence will hold; None if each of them does, or there is none."""
        times_ms = [
            newest_ms + int(rule.limit)
            for column, rule in self.rules_of(int(self.profile[row]))
            if rule.is_stale and self.phase[row, column] == OK
        ]
        return min(times_ms, default=None)

    def release(self, row: int) -> None:
        """Forget a row."""
        self.profile[row] = NO_PROFILE
        if self.active[row]:
            self.active[row] = 0
            self.phase[row] = OK

    def drop(self, partition: int) -> None:
        """Forget what has changed of a partition: it is void."""
        self._changes.pop(partition, None)
        self._due.pop(partition, None)

    def grow(self, more: int) -> None:
        """Add rows."""
        for name in _COLUMNS if self.rules else _COLUMNS[:-3]:
            column = getattr(self, name)
            zeros = np.zeros((more, *column.shape[1:]), column.dtype)
            setattr(self, name, np.concatenate([column, zeros]))

    def _set_ranges(self, row: int) -> None:
        """Set the ranges and the time of a row after its states."""
        key = (int(self.profile[row]), self.phase[row].tobytes())
        ranges = self._ranges.get(key)
        if ranges is None:
            if len(self._ranges) >= _RANGES_MAX:
                self._ranges.clear()
            ranges = self._ranges[key] = quiet(self.rules, *key)
        self.values[row], self.rates[row] = ranges.values, ranges.rates
        self.due_ms[row] = (
            _ALWAYS_MS
            if ranges.is_due
            else min(
                (int(self.since_ms[row, column]) + for_ms for column, for_ms in ranges.pending),
                default=_NEVER_MS,
            )
        )

    def _set(self, row: int, column: int, state: int, since_ms: int, value: float) -> None:
        self.phase[row, column] = state
        self.since_ms[row, column], self.value[row, column] = since_ms, value


def with_states(
    rules: Rules, series: Sequence[tuple[str, str]], *, is_forced: bool = False
) -> list[int]:
    """The positions of the series whose states must be loaded: those with a rule.

    `is_forced`: all of them, because a rule that was removed may have left a state.
    """
    if is_forced:
        return list(range(len(series)))
    if not rules:
        return []
    return [at for at, names in enumerate(series) if rules.profile(*names)]
