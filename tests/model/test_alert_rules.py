"""The rules for alerts in the catalogue: what they may contain, every error named at once."""

from __future__ import annotations

import pytest

from tributary.errors import Misconfigured
from tributary.model import alert_rule, catalogue
from tributary.model.alert_rule import Rule


def test_a_rule_has_a_condition_and_defaults():
    parsed = catalogue.parse(
        """
        [engine_temperature.alerts.overheating]
        above = 110
        for = "30s"
        clear_below = 105
        severity = "critical"
        [engine_temperature.alerts.silent]
        stale_for = "5m"
        devices = "truck-*"
        [battery_voltage.alerts.low]
        below = 11.5
        clear_above = 12
        """
    )
    overheating = Rule(
        "engine_temperature", "overheating", "above", 110.0, 105.0, 30_000, "critical"
    )
    silent = Rule("engine_temperature", "silent", "stale_for", 300_000, devices="truck-*")
    assert parsed["engine_temperature"].alerts == (overheating, silent)
    assert parsed["battery_voltage"].alerts == (
        Rule("battery_voltage", "low", "below", 11.5, 12.0),
    )
    assert parsed.rules == [overheating, silent, *parsed["battery_voltage"].alerts]


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("abov = 1", "abov = 1: unknown field; did you mean above"),
        ("above = '5'", "above = '5': not a finite number"),
        ("above = nan", "above = nan: not a finite number"),
        ("above = true", "above = True: not a finite number"),
        ("severity = 'critical'", "has no condition; use exactly one of above, below"),
        ("above = 1\nbelow = 0", "has above and below; use exactly one of"),
        ("above = 1\nclear_below = 2", "clear_below = 2: must be at most above = 1"),
        ("below = 1\nclear_above = 0", "clear_above = 0: must be at least below = 1"),
        ("above = 1\nclear_above = 2", "clear_above = 2: only with below"),
        ("stale_for = '1h'\nclear_below = 2", "clear_below = 2: only with above or rate_above"),
        ("stale_for = '1h'\nfor = '1m'", "for: not with stale_for"),
        ("stale_for = 60", "stale_for = 60: not a duration; write it as text"),
        ("above = 1\nfor = '30'", "for = '30': '30' is not a duration like 5s"),
        ("above = 1\nseverity = 'bad'", "severity = 'bad': use info, warning, critical"),
        ("above = 1\ndevices = 'a b'", "devices = 'a b': not a valid pattern"),
        ("above = 1\ndevices = 5", "devices = 5: not a valid pattern"),
    ],
)
def test_an_error_names_the_rule_and_the_remedy(rule: str, problem: str):
    with pytest.raises(Misconfigured) as caught:
        catalogue.parse(f"[speed.alerts.fast]\n{rule}")
    assert f"[speed.alerts.fast] {problem}".replace("] has", "]: has") in str(caught.value)


def test_all_errors_of_a_file_are_reported_at_once():
    with pytest.raises(Misconfigured) as caught:
        catalogue.parse(
            """
            [speed]
            unit = 5
            [speed.alerts."1 st"]
            above = 1
            [rpm]
            alerts = 7
            [load.alerts]
            above = 5
            """
        )
    for part in (
        "[speed] unit = 5",
        "[speed.alerts.1 st]: not a valid name of a rule",
        "[rpm.alerts]: write a table for each rule, [rpm.alerts.RULE]",
        "[load.alerts]: write a table for each rule",
    ):
        assert part in str(caught.value)


def test_the_number_of_rules_is_limited():
    def rules(metric: str, count: int) -> str:
        return "".join(f"[{metric}.alerts.r{n}]\nabove = {n}\n" for n in range(count))

    most = alert_rule.RULES_PER_METRIC_MAX
    with pytest.raises(Misconfigured, match=f"{most + 1} rules; at most {most} per metric"):
        catalogue.parse(rules("speed", most + 1))
    text = "".join(rules(f"m{n}", most) for n in range(alert_rule.RULES_MAX // most))
    assert len(catalogue.parse(text).rules) == alert_rule.RULES_MAX
    with pytest.raises(Misconfigured, match="1001 rules for alerts; at most 1000 in all"):
        catalogue.parse(text + rules("speed", 1))


def test_the_digest_changes_with_every_field_and_not_with_the_order():
    one, other = Rule("a", "x", "above", 1.0), Rule("b", "x", "above", 1.0)
    assert alert_rule.digest([]) == ""
    assert alert_rule.digest([one, other]) == alert_rule.digest([other, one])
    changed = [
        one._replace(metric="b"), one._replace(name="y"), one._replace(limit=2.0),
        one._replace(clear=0.5), one._replace(for_ms=1), one._replace(severity="info"),
        one._replace(devices="c*"), one._replace(condition="below"),
    ]  # fmt: skip
    assert len({alert_rule.digest([rule]) for rule in [one, *changed]}) == 9
