"""The evaluation of rules, against a plain model that sees one reading after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aggregator.alerts import stored
from aggregator.alerts.evaluate import evaluate
from aggregator.alerts.rules import Rules
from aggregator.alerts.states import States
from aggregator.fold import fold
from aggregator.table import Table, Unseen
from tributary.model import alert
from tributary.model.aggregate import Layout
from tributary.model.alert_rule import Rule
from tributary.model.groups import Readings
from tributary.model.rows import UNKNOWN, Shape, StoredSeries

SHAPE = Shape(Layout((), 3))
SERIES = [("a", "m"), ("b", "m"), ("a", "other"), ("truck-1", "m")]
NOW_MS = 1_000


class Model:
    """One rule of one series."""

    def __init__(self, rule: Rule) -> None:
        self.rule, self.state, self.since_ms = rule, "ok", 0

    def see(self, time_ms: int, value: float, rate: float | None) -> tuple[Any, ...] | None:
        """The transition that a reading causes."""
        rule, was = self.rule, self.state
        source = rate if rule.condition == "rate_above" else value
        if source is None:
            return None
        holds = source < rule.limit if rule.condition == "below" else source > rule.limit
        if rule.clear is None:
            clears = not holds
        else:
            clears = source > rule.clear if rule.condition == "below" else source < rule.clear
        if was == "ok" and holds:
            self.state = "pending" if rule.for_ms else "firing"
        elif was == "pending":
            if not holds:
                self.state = "ok"
            elif time_ms - self.since_ms >= rule.for_ms:
                self.state = "firing"
        elif was == "firing" and clears:
            self.state = "ok"
        if self.state == was:
            return None
        self.since_ms = time_ms
        return rule.name, self.state, was, time_ms, source


class SeriesModel:
    """One series with its rules."""

    def __init__(self, series: tuple[str, str], rules: list[Rule]) -> None:
        device, metric = series
        self.rules = [
            Model(rule)
            for rule in rules
            if rule.metric == metric and (rule.devices == "*" or device.startswith("truck"))
        ]
        self.newest: tuple[int, float] | None = None
        self.transitions: list[tuple[Any, ...]] = []

    def see(self, time_ms: int, value: float) -> None:
        newest = self.newest
        if newest is not None and time_ms < newest[0]:
            return
        if newest is None or time_ms > newest[0]:
            rate = None if newest is None else (value - newest[1]) / ((time_ms - newest[0]) / 1000)
            found = [rule.see(time_ms, value, rate) for rule in self.rules]
            self.transitions += [each for each in found if each is not None]
        self.newest = (time_ms, value)


VALUES = st.integers(-4, 4).map(float)
RULES = st.lists(
    st.builds(
        Rule,
        st.sampled_from(["m", "other"]),
        st.just(""),
        st.sampled_from(["above", "below", "rate_above"]),
        VALUES,
        st.none() | st.integers(0, 3).map(float),
        st.sampled_from([0, 0, 5, 20]),
        devices=st.sampled_from(["*", "truck-*"]),
    ),
    max_size=5,
).map(lambda rules: [named(rule, number) for number, rule in enumerate(rules)])
READINGS = st.lists(
    st.tuples(st.integers(0, len(SERIES) - 1), st.integers(0, 40), VALUES), max_size=60
)


def named(rule: Rule, number: int) -> Rule:
    """The rule with a name, and with `clear` on the right side of its limit."""
    if rule.clear is None:
        return rule._replace(name=f"r{number}")
    distance = rule.clear if rule.condition == "below" else -rule.clear
    return rule._replace(name=f"r{number}", clear=rule.limit + distance)


def loaded(rules: list[Rule], packed: list[bytes | None]) -> Table:
    table = Table(SHAPE, len(SERIES), Rules(rules))
    unseen = Unseen(SERIES, ["a", "b", "truck-1"])
    none = StoredSeries([UNKNOWN] * len(SERIES), {})
    table.load(0, unseen, none, [None] * 3, packed)
    return table


def apply(table: Table, batch: list[tuple[int, int, float]]) -> list[alert.Transition]:
    """Evaluate and fold a batch; what it writes."""
    known = table.rows(0)
    rows, times_ms, values = zip(*batch, strict=True)
    readings = Readings(
        np.array([known[SERIES[n]] for n in rows]), np.array(times_ms), np.array(values)
    )
    evaluate(table.alerts, table.state, readings, NOW_MS)
    fold(SHAPE.layout, table.state, table.rings, readings)
    written = stored.of(table, 0, NOW_MS)
    return [alert.parse_transition(each) for each in written.transitions]


@given(RULES, READINGS, st.lists(st.integers(1, 20)))
def test_the_result_is_that_of_the_model_however_readings_are_divided(
    rules: list[Rule], readings: list[tuple[int, int, float]], sizes: list[int]
):
    models = {series: SeriesModel(series, rules) for series in SERIES}
    table = loaded(rules, [None] * len(SERIES))
    found: dict[tuple[str, str], list[tuple[Any, ...]]] = {series: [] for series in SERIES}
    sizes = [*sizes, *[7] * len(readings)]
    while readings:
        size = sizes.pop(0)
        batch, readings = readings[:size], readings[size:]
        for number, time_ms, value in batch:
            models[SERIES[number]].see(time_ms, value)
        for t in apply(table, batch):
            found[t.device, t.metric].append((t.rule, t.state, t.was, t.since_ms, t.value))
    for series, model in models.items():
        by_rule = {rule.rule.name: [t for t in model.transitions if t[0] == rule.rule.name]
                   for rule in model.rules}  # fmt: skip
        for name, transitions in by_rule.items():
            assert [t for t in found[series] if t[0] == name] == transitions
        assert len(found[series]) == len(model.transitions)
        row = table.rows(0)[series]
        held = alert.parse_states(table.alerts.packed(row))
        assert {name: (state.state, state.since_ms) for name, state in held.items()} == {
            m.rule.name: (m.state, m.since_ms) for m in model.rules if m.state != "ok"
        }


@given(RULES, READINGS, st.integers(0, 60))
def test_states_go_on_after_they_were_stored_and_loaded(
    rules: list[Rule], readings: list[tuple[int, int, float]], cut: int
):
    whole, first = loaded(rules, [None] * 4), loaded(rules, [None] * 4)
    before, after = readings[:cut], readings[cut:]
    expected = [t for batch in (before, after) if batch for t in apply(whole, batch)]
    got = apply(first, before) if before else []
    again = loaded(rules, [first.alerts.packed(first.rows(0)[each]) for each in SERIES])
    for series in SERIES:
        again.state[again.rows(0)[series]] = first.state[first.rows(0)[series]]
    got += apply(again, after) if after else []
    assert got == expected


def test_ids_depend_on_the_readings_alone():
    rule = Rule("m", "high", "above", 1.0)
    once = [t.id for t in apply(loaded([rule], [None] * 4), [(0, 1, 2.0), (0, 2, 0.0)])]
    again = [t.id for n in (0, 1) for t in [*_each(rule)[n]]]
    assert once == again
    assert len(set(once)) == 2


def _each(rule: Rule) -> list[list[alert.Transition]]:
    table = loaded([rule], [None] * 4)
    return [apply(table, [(0, 1, 2.0)]), apply(table, [(0, 2, 0.0)])]


def test_the_alert_of_a_removed_rule_ends():
    fires = loaded([Rule("m", "gone", "above", 1.0, severity="info")], [None] * 4)
    apply(fires, [(0, 1, 2.0)])
    packed = [fires.alerts.packed(fires.rows(0)[each]) for each in SERIES]
    table = loaded([Rule("m", "other", "above", 5.0)], packed)
    written = stored.of(table, 0, NOW_MS)
    (ended,) = [alert.parse_transition(each) for each in written.transitions]
    assert (ended.rule, ended.state, ended.was, ended.since_ms, ended.severity) == (
        "gone", "ok", "firing", NOW_MS, "info",
    )  # fmt: skip
    assert written.ok == ["a|m"]


def test_without_a_rule_nothing_is_kept_or_written():
    states = States(Rules(), 1000)
    assert states.phase.nbytes == 0
    table = loaded([], [])
    assert apply(table, [(0, 1, 5.0)]) == []
    assert stored.of(table, 0, NOW_MS) is stored.NO_ALERTS


def test_unreadable_states_count_as_ok():
    rule = Rule("m", "high", "above", 1.0)
    table = loaded([rule], [b"not JSON", b'{"high":["unknown",1,2,"info"]}', None, None])
    assert [t.state for t in apply(table, [(0, 1, 2.0), (1, 1, 2.0)])] == ["firing", "firing"]
