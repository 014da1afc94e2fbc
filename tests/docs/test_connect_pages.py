"""The pages of docs/connect: each is in the table, and its curl lines work."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from support.processes import ROOT, Deployment
from support.programs import needed
from support.waiting import wait_until

FOLDER = ROOT / "docs" / "connect"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
URL = "http://127.0.0.1:8000"


def test_the_table_links_every_page():
    linked = re.findall(r"\]\(([\w-]+\.md)\)", (FOLDER / "README.md").read_text())
    assert sorted(set(linked)) == [page.name for page in PAGES]


def test_the_readme_shows_the_table():
    rows = re.findall(r"^\|.*\|$", (FOLDER / "README.md").read_text(), re.MULTILINE)
    shown = "\n".join(rows).replace("](", "](docs/connect/")
    assert shown in (ROOT / "README.md").read_text()


# The bridge takes no HTTP; tests/bridge runs it with a broker.
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.stem != "mqtt"], ids=lambda page: page.stem
)
def test_the_curl_lines_of_a_page_work(page: Path, deployment: Deployment):
    needed("curl")
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    commands = [line for line in lines if line.startswith("curl ") and URL in line]
    assert commands
    for command in commands:
        words = shlex.split(command.replace(URL, deployment.url))

        def succeeds(words: list[str] = words) -> bool:
            options = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code}"]
            done = subprocess.run([*words, *options], capture_output=True, text=True, check=True)
            return done.stdout.startswith("2")

        wait_until(succeeds, command)  # a reading that was recorded can be collected soon
