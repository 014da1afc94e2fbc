"""The documents are correct: generated tables, paths, and the commands of the README."""

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
_PATH = (
    r"`((?:tributary|ingest|aggregator|bridge|api|jobs|tests|scripts|docs|compose|bench)/[\w./-]*)`"
)


@pytest.mark.parametrize("name", documents.rendered())
def test_generated_documents_are_current(name: str):
    assert (ROOT / "docs" / name).read_text() == documents.rendered()[name], "run scripts/docs"


def test_links_and_paths_exist():
    missing = []
    for path in DOCUMENTS:
        text = path.read_text()
        links = re.findall(r"\]\((?!http)([^)#]+)", text)
        missing += [f"{path}: {link}" for link in links if not (path.parent / link).exists()]
        names = re.findall(_PATH, text)
        missing += [f"{path}: {name}" for name in names if not (ROOT / name).exists()]
    assert not missing


def test_code_fences_are_closed():
    assert not [path for path in DOCUMENTS if path.read_text().count("\n```") % 2]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_result_is_visible_by_line_25():
    lines = README.splitlines()
    assert lines.index('{"success":true}') <= 25


@pytest.mark.timeout(400)
def test_the_commands_of_the_readme_print_what_it_shows(tmp_path: Path):
    start, requests = blocks("sh")
    ready, responses = blocks("text")[:2]
    environ = {"TRIBUTARY_PORT": "0", "TRIBUTARY_DATA_DIR": str(tmp_path / "data")}
    # On a free port, because Tributary may already run on this machine.
    up = Process(shlex.split(start), environ, cwd=ROOT)
    try:
        pattern = re.escape(ready.strip()).replace("8000", r"(\d+)")
        port = up.wait_for(re.compile(pattern), 300)[1]  # it may have to set up first
        commands = requests.replace("127.0.0.1:8000", f"127.0.0.1:{port}").splitlines()
        printed = [_until_applied(command) for command in commands]
        assert [_shape(line) for line in printed] == [
            _shape(line) for line in responses.splitlines()
        ]
    finally:
        assert up.stop() == 0


def _until_applied(command: str) -> str:
    while True:
        done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=True)
        if '"recorded_at":null' not in done.stdout:
            return done.stdout.strip()


def _shape(line: str) -> str:
    """The line without times."""
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


def test_the_changelog_has_only_standard_headings():
    text = (ROOT / "CHANGELOG.md").read_text()
    allowed = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= allowed
    assert "## Unreleased" in text
