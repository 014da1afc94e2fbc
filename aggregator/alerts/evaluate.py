"""The evaluation of readings against the rules. Pure, vectorised.

A reading is evaluated if it is later than all readings of its series before it, in the order of
arrival; so the result does not depend on how readings are divided into batches. A reading with
the time of the newest one replaces the current value, but is not evaluated.

The states are ok, pending and firing. A reading for which the condition holds begins `pending`,
or `firing` at once without `for`. A pending alert is firing with the first reading for which the
condition still holds `for` after it began, and ok with the first one for which it does not. A
firing alert is ok with the first reading below `clear_below` or above `clear_above`, without them
with the first one for which the condition does not hold.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from aggregator.alerts.rules import Flags
from aggregator.alerts.states import FIRING, OK, PENDING, Change, States
from tributary.model.aggregate import NO_TIME, Records
from tributary.model.groups import Floats, Ints, Readings, lengths


class Watched(NamedTuple):
    """Readings of series with rules, sorted by row, then in order of arrival.

    Only those that became the current value of their series.
    """

    rows: Ints
    times_ms: Ints
    values: Floats
    rates: Floats  # per second since the current value before; NaN for the first
    is_evaluated: Flags
    starts: Ints  # where each series begins
    counts: Ints

    @classmethod
    def of(cls, states: States, newest: Records, readings: Readings) -> Self | None:
        """The readings to evaluate; None if there are none.

        Args:
            states: of the table.
            newest: the state of the table before the readings are folded into it.
            readings: in order of arrival.
        """
        at = np.flatnonzero(states.profile[readings.rows])
        if len(at) == 0:
            return None
        at = at[np.argsort(readings.rows[at], kind="stable")]
        rows, times_ms, values = readings.rows[at], readings.times_ms[at], readings.values[at]
        starts, counts = _groups(rows)
        before_ms = newest["times_ms"][rows[starts], -1]
        highest_ms = _highest_before(times_ms, starts, counts, before_ms)
        kept = times_ms >= highest_ms
        if not kept.all():
            rows, times_ms, values = rows[kept], times_ms[kept], values[kept]
            highest_ms = highest_ms[kept]
            if len(rows) == 0:
                return None
            starts, counts = _groups(rows)
        rates = _rates(times_ms, values, highest_ms, newest["values"][rows[starts], -1], starts)
        return cls(rows, times_ms, values, rates, times_ms > highest_ms, starts, counts)


def evaluate(states: States, newest: Records, readings: Readings, now_ms: int) -> None:
    """Evaluate readings before they are folded; the changes are kept in `states`.

    Args:
        states: of the table; changed in place.
        newest: the state of the table before the readings are folded into it.
        readings: in order of arrival.
        now_ms: the clock; a reading ends an alert of silence unless it is too old itself.
    """
    watched = Watched.of(states, newest, readings)
    if watched is None:
        return
    if states.rules.has_stale:
        columns = states.rules.columns
        firsts = watched.rows[watched.starts]
        new = firsts[newest["times_ms"][firsts, -1] == NO_TIME]
        is_stale = columns.is_stale[columns.of[states.profile[new]]].any(axis=1)
        states.watch(new[is_stale].tolist())
    values, rates = states.values[watched.rows], states.rates[watched.rows]
    may_change = (watched.values < values[:, 0]) | (watched.values > values[:, 1])
    may_change |= (watched.rates < rates[:, 0]) | (watched.rates > rates[:, 1])
    may_change |= watched.times_ms >= states.due_ms[watched.rows]
    chosen = np.flatnonzero(may_change & watched.is_evaluated)
    if len(chosen):
        _evaluate(states, watched, chosen, now_ms)


def _evaluate(states: States, watched: Watched, chosen: Ints, now_ms: int) -> None:
    """Find the first reading of each series and rule that changes a state, and go on from there."""
    columns = states.rules.columns
    of_rules = columns.of[states.profile[watched.rows[chosen]]]
    series = np.searchsorted(watched.starts, chosen, side="right") - 1
    pairs: list[tuple[int, int, int]] = []  # first reading, column, number of the series
    for column in range(states.rules.width):
        rules = of_rules[:, column]
        if not rules.any():
            continue
        hits = np.flatnonzero(_changes(states, watched, chosen, rules, column, now_ms))
        if len(hits):
            of, firsts = np.unique(series[hits], return_index=True)
            firsts = chosen[hits[firsts]]
            pairs += zip(firsts.tolist(), [column] * len(of), of.tolist(), strict=True)
    for first, column, number in sorted(pairs):
        end = int(watched.starts[number] + watched.counts[number])
        _walk(states, watched, range(first, end), column, now_ms)


def _changes(  # noqa: PLR0913, PLR0917 (the columns that it compares)
    states: States, watched: Watched, chosen: Ints, rules: Ints, column: int, now_ms: int
) -> Flags:
    """Whether each of the readings would change the state of a rule, as it was before all."""
    columns = states.rules.columns
    rows, times_ms = watched.rows[chosen], watched.times_ms[chosen]
    signed = np.where(columns.is_rate[rules], watched.rates[chosen], watched.values[chosen])
    signed *= columns.sign[rules]
    phase = states.phase[rows, column]
    holds = signed > columns.limit[rules]
    ends = np.where(
        columns.is_stale[rules],
        times_ms > now_ms - columns.stale_ms[rules],
        signed <= columns.clear[rules],
    )
    is_over = times_ms - states.since_ms[rows, column] >= columns.for_ms[rules]
    return np.where(phase == OK, holds, np.where(phase == FIRING, ends, ~holds | is_over))


def _walk(states: States, watched: Watched, at: range, column: int, now_ms: int) -> None:
    """Evaluate the readings of a series against one rule, one after the other."""
    row = int(watched.rows[at[0]])
    columns = states.rules.columns
    number = int(columns.of[states.profile[row], column])
    rule = states.rules.rules[number]
    sign, limit, clear = (float(c[number]) for c in (columns.sign, columns.limit, columns.clear))
    source = watched.rates if columns.is_rate[number] else watched.values
    for reading in at:
        if not watched.is_evaluated[reading]:
            continue
        time_ms, value = int(watched.times_ms[reading]), float(source[reading])
        was, holds = int(states.phase[row, column]), sign * value > limit
        state = was
        if was == OK and holds:
            state = PENDING if rule.for_ms else FIRING
        elif was == PENDING and not holds:
            state = OK
        elif was == PENDING and time_ms - states.since_ms[row, column] >= rule.for_ms:
            state = FIRING
        elif was == FIRING and rule.is_stale:
            state = OK if time_ms > now_ms - rule.limit else FIRING
        elif was == FIRING and sign * value <= clear:
            state = OK
        if state != was:
            states.enter(Change(row, rule, state, was, time_ms, value), column)
            if rule.is_stale:
                states.watch([row])


def _groups(rows: Ints) -> tuple[Ints, Ints]:
    """Where each run of equal rows begins, and its length."""
    first = np.empty(len(rows), np.bool_)
    first[0] = True
    np.not_equal(rows[1:], rows[:-1], out=first[1:])
    starts = np.flatnonzero(first)
    return starts, lengths(starts, len(rows))


def _highest_before(times_ms: Ints, starts: Ints, counts: Ints, before_ms: Ints) -> Ints:
    """The latest time of the series before each reading, in order of arrival."""
    if len(starts) == len(times_ms):
        return before_ms
    highest = np.repeat(before_ms, counts)
    np.maximum(highest[1:], times_ms[:-1], out=highest[1:])
    highest[starts] = before_ms
    is_earlier = times_ms[1:] < times_ms[:-1]
    is_earlier[starts[1:] - 1] = False  # than that of another series
    earlier = np.flatnonzero(is_earlier) + 1
    for number in np.unique(np.searchsorted(starts, earlier, side="right") - 1).tolist():
        first, end = starts[number], starts[number] + counts[number]
        so_far = np.maximum.accumulate(times_ms[first:end])
        np.maximum(highest[first + 1 : end], so_far[:-1], out=highest[first + 1 : end])
    return highest


def _rates(times_ms: Ints, values: Floats, before_ms: Ints, before: Floats, starts: Ints) -> Floats:
    """The change per second since the current value before; NaN without one.

    `before`: the current value of each series before its first reading.
    """
    previous = np.empty_like(values)
    previous[1:] = values[:-1]
    previous[starts] = before
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        rates: Floats = (values - previous) / ((times_ms - before_ms) / 1000)
    rates[before_ms == NO_TIME] = np.nan
    return rates
