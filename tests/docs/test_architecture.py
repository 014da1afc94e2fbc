"""The costs of the page on the architecture are those that the model computes."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner
from support.processes import ROOT

from tributary.cli import cli

PAGE = (ROOT / "docs/architecture.md").read_text()
ROWS = re.findall(r"^\| (.+?) \| `(devices=.+?)` \| (.+) \|$", PAGE, re.MULTILINE)


def of(printed: str, pattern: str) -> str:
    found = re.search(pattern, printed, re.MULTILINE)
    assert found is not None, printed
    return found[1]


@pytest.mark.parametrize(("fleet", "words", "figures"), ROWS, ids=[row[0] for row in ROWS])
def test_a_row_is_what_the_plan_prints(fleet: str, words: str, figures: str):
    printed = CliRunner().invoke(cli, ["doctor", "--plan", *words.split()]).output
    cores = {
        role: of(printed, rf"^{role} +(\S+) cores") for role in ("ingest", "aggregator", "redis")
    }
    expected = [
        f"{cores['ingest']}, {cores['aggregator']}",
        f"{cores['redis']}, {of(printed, 'primaries at 70% of a core: ([0-9]+)')}",
        of(printed, r"^memory +(\S+ \S+) of Redis"),
        of(printed, r"^file +(\S+ \S+) per day"),
        of(printed, r"^history +(\S+ \S+) per day"),
    ]
    assert figures.split(" | ") == expected


def test_there_are_rows():
    assert len(ROWS) == 3
