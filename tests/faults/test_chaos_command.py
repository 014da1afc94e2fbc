"""`scripts/chaos` as a command, and the table it writes."""

from __future__ import annotations

from pathlib import Path

import click.testing
from click.testing import CliRunner

from faults import fault_report
from faults.__main__ import chaos as command
from faults.checks import Findings
from faults.events_command import quantiles
from faults.fault_run import Result


def chaos(*arguments: str) -> click.testing.Result:
    """What `scripts/chaos` does with these arguments, in this process."""
    return CliRunner().invoke(command, arguments)


def test_lists_every_fault():
    listed = chaos("list").stdout
    for number in range(1, 32):
        assert f"F{number} " in listed


def test_rejects_an_unknown_fault():
    done = chaos("--only", "F99")
    assert done.exit_code == 2
    assert "see scripts/chaos list" in done.stderr


def test_suggests_the_nearest_setting_for_an_unknown_one():
    done = chaos("--only", "F1", "--setting", "lanes=false")
    assert done.exit_code == 2
    assert "did you mean TRIBUTARY_LANE?" in done.stderr


def test_failover_help_lists_its_options():
    shown = chaos("failover", "--help").stdout
    assert "Example: scripts/chaos failover" in shown
    for option in ("--rounds", "--seed", "--durability", "--lag-ms", "--json"):
        assert option in shown


def test_events_of_masters_are_listed_and_others_rejected():
    shown = chaos("failover-events", "--help").stdout
    assert "[killed|paused|cut-off|promoted|planned|cluster-killed|" in shown
    assert chaos("failover-events", "--event", "burnt").exit_code == 2
    assert quantiles([5, 1, 9, 3]) == "3 / 9"


def result(id_: str, lost: int, recoveries_s: list[float]) -> Result:
    findings = Findings(100, lost, 0, 0, 0, [])
    return Result(id_, "a title", 3, 5, findings, recoveries_s, ["a | b"], 1.0)


def test_writing_a_row_replaces_it_and_keeps_the_others(tmp_path: Path):
    document = tmp_path / "reliability.md"
    document.write_text("before\n\n<!-- faults -->\n<!-- /faults -->\nafter\n")
    fault_report.write([result("F2", 0, [0.1, 0.3])], document=document)
    fault_report.write([result("F1", 0, []), result("F10", 0, [])], document=document)
    fault_report.write([result("F2", 7, [])], document=document)
    text = document.read_text()
    assert [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| F")] == [
        "| F1", "| F2", "| F10",
    ]  # fmt: skip
    assert "| F2 | a title | 5 | 100 | 7 | 0 | 0 | 0 | - | - | 3 | a / b |" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
