"""Conventions that a search can check."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tributary import errors

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("tributary", "ingest", "aggregator", "bridge", "api", "jobs")
SOURCES = {
    str(path.relative_to(ROOT)): path.read_text()
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}
TESTS = {
    str(path.relative_to(ROOT)): path.read_text() for path in sorted((ROOT / "tests").rglob("*.py"))
}


def found(pattern: str, texts: dict[str, str], *allowed: str) -> list[str]:
    """The files that match, except those allowed."""
    return [
        name for name, text in texts.items() if re.search(pattern, text) and name not in allowed
    ]


def test_keys_are_built_in_one_place():
    assert not found(r'f?"tributary:\{', SOURCES, "tributary/store/keys.py")


def test_the_environment_is_read_in_one_place():
    allowed = {
        "tributary/settings.py",
        "tributary/standalone/supervisor.py",  # passes it to child processes
        "tributary/cli/options.py",  # whether a Redis was configured
        "tributary/standalone/data_dir.py",  # XDG_STATE_HOME
    }
    assert not found(r"os\.environ|getenv", SOURCES, *allowed)


def test_no_test_uses_mock_objects():
    assert not found(
        r"unittest\.mock|import mock|MagicMock|fakeredis", TESTS, "tests/house/test_words.py"
    )


def test_tests_wait_for_conditions_instead_of_sleeping():
    allowed = (
        "tests/support/waiting.py",
        "tests/house/test_words.py",
        "tests/faults/tree.py",  # its wait_for
    )
    assert not found(r"\btime\.sleep\(", TESTS, *allowed)


def test_broad_handlers_are_listed_and_no_handler_is_empty():
    allowed = (
        "tributary/store/pipe.py",
        "aggregator/heartbeats.py",  # raised again by `run`, in another thread
        "api/prometheus/promql.py",  # a panic of the parser is a BaseException
        "jobs/worker.py",  # a job may raise anything; it fails, and the next one runs
        "bridge/recorder.py",  # a bug in one message does not block the others
        "ingest/arrivals.py",  # what the short way cannot parse goes the long way
        "ingest/recorder.py",  # as connection.py, for requests that it admits later
        "tributary/http/lane/connection.py",  # a bug in one request is a 500, and other requests continue
    )
    broad = found(r"except (Base)?Exception\b|except:", SOURCES, *allowed)
    assert not broad
    for name, text in SOURCES.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ExceptHandler):
                assert not all(isinstance(line, ast.Pass) for line in node.body), name


def test_log_messages_are_constant():
    for name, text in SOURCES.items():
        for call in re.findall(r"\.(?:debug|info|warning|error|critical)\(\s*(f?[\"'])", text):
            assert not call.startswith("f"), name


def subclasses(base: type) -> list[type]:
    return [base, *(s for child in base.__subclasses__() for s in subclasses(child))]


@pytest.mark.parametrize(
    "error", [e for e in subclasses(errors.TributaryError) if e.__module__ == "tributary.errors"]
)
def test_every_error_is_raised_and_documented(error: type):
    assert error.__doc__
    used = [name for name, text in SOURCES.items() if re.search(rf"\b{error.__name__}\(", text)]
    assert [name for name in used if name != "tributary/errors.py"], error.__name__


def test_every_lua_script_has_a_header():
    for path in (ROOT / "tributary" / "store" / "lua").glob("*.lua"):
        text = path.read_text()
        header = "".join(line for line in text.splitlines() if line.startswith("--"))
        words = ["KEYS[1]", "-- returns", "-- atomic", f"-- {path.stem}:"]
        words += ["ARGV[1]"] if "ARGV" in text else []
        missing = [word for word in words if word not in header]
        assert not missing, f"{path.name} lacks {missing}"
        assert not re.search(r"'(KEYS|SCAN)'", text)
