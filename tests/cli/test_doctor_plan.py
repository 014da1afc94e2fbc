"""`tributary doctor --plan`: prints what a fleet needs, without a server."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from tributary.cli import cli

FLEET = ("--plan", "devices=20000", "rate=1", "metrics=3")


def doctor(*words: str) -> tuple[int, str]:
    """Exit status and output of the command, as `main` reports errors."""
    result = CliRunner().invoke(cli, ["doctor", *words], env={"TRIBUTARY_REDIS_URL": None})
    error = result.exception
    return result.exit_code, result.output + ("" if error is None else str(error))


def test_prints_every_role_and_resource_of_a_fleet():
    code, text = doctor(*FLEET)
    assert code == 0, text
    rows = dict(line.split(None, 1) for line in text.splitlines())
    assert rows["load"].startswith("20,000 devices, 20,000 readings per second in requests of 1, ")
    assert {"ingest", "aggregator", "redis", "jobs", "memory", "file", "history"} <= set(rows)
    assert "60,000 series, 4 partitions" in rows["load"]
    assert "per day written to append-only files" in rows["file"]


def test_a_large_fleet_needs_several_primaries_and_partitions():
    code, text = doctor("--plan", "devices=1000000", "rate=1")
    assert code == 0
    assert "of a Redis Cluster" in text
    assert "warning      4 partitions are fewer than" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--plan", "devices=1", "rate=x"), "rate=x is not a number"),
        (("--plan",), "devices and rate missing"),
        (("devices=1",), "'devices=1' needs --plan"),
        ((*FLEET, "--role", "api"), "omit the other options"),
        ((*FLEET, "--redis-url", "redis://127.0.0.1"), "omit the other options"),
    ],
)
def test_rejects_what_it_cannot_plan(words: tuple[str, ...], message: str):
    code, text = doctor(*words)
    assert code != 0
    assert message in text


def test_help_has_examples():
    assert "tributary doctor --plan devices=20000 rate=1 metrics=3" in doctor("--help")[1]
