"""Every snippet of docs/clients.md runs against a real deployment."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.processes import Process, Server
from support.site import Site
from support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "clients.md").read_text()
Start = Callable[..., Process]
URL = "http://127.0.0.1:8000"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    server = Server(tmp_path_factory.mktemp("redis"))
    running = Site(server)
    running.post({"device": "car-7", "engine_temperature": 92.3})
    wait_until(lambda: running.get("/collect?device=car-7")[0] == 200, "the first reading")
    yield running
    running.close()
    server.close()


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[Process] = []

    def run(*command: str) -> Process:
        started.append(Process(list(command), cwd=ROOT))
        return started[-1]

    yield run
    for process in started:
        process.kill()


def test_curl(site: Site, start: Start):
    record, collect, live = blocks("sh")[0].replace(URL, site.url).splitlines()
    assert start(*shlex.split(record)).wait_for(re.compile(r'{"success":true}'))
    assert start(*shlex.split(collect)).wait_for(re.compile(r'"current_engine_temperature":92.3'))
    assert start(*shlex.split(live)).wait_for(
        re.compile(r'event: reading\nid: .+\ndata: {"device"')
    )


@pytest.mark.parametrize("snippet", blocks("python"))
def test_python(site: Site, snippet: str, tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", snippet.replace(URL, site.url)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"engine_temperature|success|accepted|9\d\.\d+ False", done.stdout), (
        done.stdout
    )


@pytest.mark.parametrize("snippet", blocks("js"))
def test_javascript(site: Site, start: Start, snippet: str):
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    running = start("node", "--input-type=module", "-e", snippet.replace(URL, site.url))
    running.wait_for(re.compile(r"current_engine_temperature: 9"))


def test_accepts_the_request_of_the_board(site: Site):
    text = re.search(r'sizeof body, "(.*)", temperature\)', TEXT)
    assert text is not None
    body = json.loads(text[1].replace('\\"', '"') % 21.5)
    site.post(body)
    wait_until(lambda: site.get("/collect?device=esp32-1")[0] == 200, "the reading of the board")
