"""What is written is true: tables equal the code, paths exist, the README's commands run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from support.processes import Process

from scripts import documents

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("compose/*.md")])
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", documents.rendered())
def test_tables_are_those_of_the_code(name: str):
    assert (ROOT / "docs" / name).read_text() == documents.rendered()[name], "run scripts/docs"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_paths_exist(path: Path):
    text = path.read_text()
    for target in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"
    for name in re.findall(
        r"`((?:tributary|ingest|aggregator|api|tests|scripts|docs|compose|bench)/[\w./-]*)`",
        text,
    ):
        assert (ROOT / name).exists(), f"{path.name} names {name}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_code_fences_are_closed(path: Path):
    assert path.read_text().count("\n```") % 2 == 0


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_result_is_visible_by_line_25():
    lines = README.splitlines()
    assert lines.index('{"success":true}') <= 25


def test_the_commands_of_the_readme_do_what_it_says(tmp_path: Path):
    start, ask = blocks("sh")
    ready, answers = blocks("text")[:2]
    environ = {"TRIBUTARY_PORT": "0", "TRIBUTARY_DATA_DIR": str(tmp_path / "data")}
    # The port is another, lest a test disturb a Tributary that runs on this machine.
    up = Process(shlex.split(start), environ, cwd=ROOT)
    try:
        pattern = re.escape(ready.strip()).replace("8000", r"(\d+)")
        port = up.wait_for(re.compile(pattern), 60)[1]
        asked = ask.replace("127.0.0.1:8000", f"127.0.0.1:{port}").splitlines()
        said = [_until_applied(command) for command in asked]
        assert [_shape(line) for line in said] == [_shape(line) for line in answers.splitlines()]
    finally:
        assert up.stop() == 0


def _until_applied(command: str) -> str:
    while True:
        done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=True)
        if '"recorded_at":null' not in done.stdout:
            return done.stdout.strip()


def _shape(line: str) -> str:
    """The line without the moment it was printed at."""
    line = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", line)
    return re.sub(r'"age_ms":\d+', '"age_ms":N', line)


def test_every_command_of_the_readme_exists():
    for name in re.findall(r"\.venv/bin/tributary (\w+)", README):
        done = subprocess.run(
            [ROOT / ".venv/bin/tributary", name, "--help"],
            capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "100"},
        )  # fmt: skip
        assert done.returncode == 0, name
        assert "Example: tributary" in done.stdout


def test_every_heading_of_the_changelog_is_known():
    text = (ROOT / "CHANGELOG.md").read_text()
    allowed = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= allowed
    assert "## Unreleased" in text
