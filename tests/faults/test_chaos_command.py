"""`scripts/chaos` from outside, and the table it writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from faults import fault_report
from faults.checks import Found
from faults.fault_run import Result

ROOT = Path(__file__).resolve().parents[2]


def chaos(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "faults", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_fault_of_the_list_has_a_name():
    listed = chaos("list").stdout
    for number in range(1, 32):
        assert f"F{number} " in listed


def test_an_unknown_fault_is_a_sentence():
    done = chaos("--only", "F99")
    assert done.returncode == 2
    assert "scripts/chaos list names them" in done.stderr


def test_an_unknown_setting_is_a_sentence():
    done = chaos("--only", "F1", "--setting", "lanes=false")
    assert done.returncode == 2
    assert "did you mean TRIBUTARY_LANE?" in done.stderr


def test_failover_explains_itself():
    shown = chaos("failover", "--help").stdout
    assert "Example: scripts/chaos failover" in shown
    for option in ("--rounds", "--seed", "--durability", "--lag-ms", "--json"):
        assert option in shown


def result(id_: str, lost: int, recoveries_s: list[float]) -> Result:
    found = Found(100, lost, 0, 0, 0, [])
    return Result(id_, "a title", 3, 5, found, recoveries_s, ["a | b"], 1.0)


def test_a_row_is_replaced_and_the_others_stay(tmp_path: Path):
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
