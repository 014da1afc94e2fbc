"""The alerts of Prometheus: valid, tested, on metrics that exist, and each with an entry in the runbook."""

from __future__ import annotations

import re
import shlex
import subprocess
from typing import Any

import click
import pytest
import yaml
from support.processes import ROOT
from support.programs import needed

from tributary.cli import cli
from tributary.operate.metric_catalogue import ALWAYS, CATALOGUE
from tributary.settings import Settings

FOLDER = ROOT / "compose/prometheus"
RUNBOOK = (ROOT / "docs/runbook.md").read_text()
(GROUP,) = yaml.safe_load((FOLDER / "rules.yaml").read_text())["groups"]
RULES: dict[str, dict[str, Any]] = {rule["alert"]: rule for rule in GROUP["rules"]}
ENTRIES = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
METRICS = {metric.name: metric for metric in (*ALWAYS, *CATALOGUE)}


def promtool(*arguments: str) -> str:
    done = subprocess.run(
        [needed("promtool"), *arguments], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_accepts_configuration_and_rules():
    assert f"{len(RULES)} rules found" in promtool("check", "rules", "rules.yaml")
    promtool("check", "config", "prometheus.yaml")


def test_every_alert_fires_in_a_test_and_is_quiet_in_another():
    promtool("test", "rules", "rules.test.yaml")
    fires, quiet = set(), set()
    for case in yaml.safe_load((FOLDER / "rules.test.yaml").read_text())["tests"]:
        for each in case["alert_rule_test"]:
            (fires if each["exp_alerts"] else quiet).add(each["alertname"])
    assert fires == quiet == set(RULES)


def metric_of(name: str) -> str:
    """The metric of a name in an expression."""
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    return base if base in METRICS and METRICS[base].is_histogram else name


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_uses_existing_metrics_and_labels(alert: str):
    expression = RULES[alert]["expr"]
    names = {metric_of(name) for name in re.findall(r"\btributary_\w+", expression)}
    assert names
    assert names <= set(METRICS), names - set(METRICS)
    known = {"le"}.union(*(METRICS[name].labels for name in names))
    used = re.findall(r"by \(([\w, ]+)\)", expression) + re.findall(r"[{,](\w+)[=!]", expression)
    assert {label for each in used for label in each.split(", ")} <= known


def test_every_alert_has_an_entry_in_the_runbook():
    assert list(ENTRIES) == list(RULES)
    for alert, rule in RULES.items():
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{alert.lower()}"
        assert rule["labels"]["severity"] in ("page", "ticket")
        titles = re.findall(r"^- \*\*(.+?)\.\*\* \S", ENTRIES[alert], re.MULTILINE)
        assert titles == ["Meaning", "Look at", "Do"], alert


def test_the_runbook_names_what_exists():
    spans = re.findall(r"`([^`]+)`", RUNBOOK)
    names = {span for span in spans if re.fullmatch(r"tributary_\w+", span)}
    assert names <= set(METRICS)
    assert {span for span in spans if span.startswith("Tributary")} <= set(RULES)
    settings = {
        span.partition("=")[0] for span in spans if re.fullmatch(r"[a-z]+(_[a-z]+)+=?\w*", span)
    }
    foreign = {"backlog_full", "too_many_new_series", "too_many_series", "error_id", "slow_turn"}
    prefixes = ("tributary_", "action")
    unknown = {each for each in settings if not each.startswith(prefixes)} - foreign
    assert unknown <= set(Settings.__struct_fields__)
    commands = [shlex.split(span)[1:] for span in spans if span.startswith("tributary ")]
    assert len(commands) > 20
    for words in commands:
        parse(cli, words)


def parse(command: click.Command, words: list[str]) -> None:
    """Parse a command line without running it; arguments may be left out."""
    context = click.Context(command)
    while isinstance(command, click.Group) and words and words[0] in command.list_commands(context):
        found = command.get_command(context, words[0])
        assert found is not None
        command, words = found, words[1:]
    known = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known, words
    takes = any(isinstance(parameter, click.Argument) for parameter in command.params)
    assert takes or not words or words[0].startswith("--"), words
