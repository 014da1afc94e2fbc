"""The first token: `up` creates and shows it on a terminal, else it prints the command."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console
from support import qr_codes
from support.processes import READY, Process, request, tributary
from support.terminals import Terminal

from tributary.auth import tokens
from tributary.auth.tokens import Token
from tributary.settings import Settings
from tributary.standalone import embedded_server, first_token
from tributary.store import redis_client

Run = Callable[..., Process]
OUTSIDE = "0.0.0.0"
_SECRET = re.compile(r"trb_[\w-]{43}")


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    started: list[Terminal] = []

    def start(*arguments: str) -> Terminal:
        started.append(Terminal(*arguments, columns=250, lines=60))
        return started[-1]

    yield start
    for each in started:
        each.close()


def up(data_dir: Path, *arguments: str) -> list[str]:
    return ["up", "--host", OUTSIDE, "--port", "0", "--data-dir", str(data_dir), *arguments]


def stopped(shown: Terminal) -> str:
    shown.press("\x03")
    assert shown.end(30) == 0, shown.screen
    return shown.written.decode()


def shown_code(screen: str) -> str:
    """The text of the QR code below the line that announces it."""
    below = screen.split("scan this code", 1)[1].splitlines()[1:]
    lines = list(itertools.takewhile(lambda line: set(line) <= set(" ▀▄█"), below))
    width = max(map(len, lines)) + 2
    return qr_codes.of_lines([line.ljust(width) for line in lines])


def test_on_a_terminal_the_first_token_is_shown_once_and_works(
    terminal: Callable[..., Terminal], tmp_path: Path
):
    first = terminal(*up(tmp_path / "data"))
    screen = first.wait_for("ready on", 60)
    ready, secret = READY.search(screen), _SECRET.search(screen)
    assert ready is not None
    assert secret is not None
    url, header = ready[1], {"Authorization": f"Bearer {secret[0]}"}
    assert OUTSIDE not in url
    assert f"{url}/#token={secret[0]}" in screen
    assert shown_code(screen) == f"{url}/#token={secret[0]}"
    assert f"curl -H 'Authorization: Bearer {secret[0]}'" in screen
    assert request(url, "POST", "/record", {"a": 1}, {})[0] == 401
    for method, path in (("POST", "/record"), ("GET", "/collect"), ("GET", "/api/v1/status")):
        body = {"a": 1} if method == "POST" else None
        assert request(url, method, path, body, header)[0] == 200, path
    stopped(first)
    again = terminal(*up(tmp_path / "data"))
    again.wait_for("ready on", 60)
    assert "trb_" not in stopped(again)
    kept = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert not [path for path in kept if secret[0].encode() in path.read_bytes()]


@pytest.mark.parametrize("arguments", [["--open"], ["--host", "127.0.0.1"]])
def test_no_token_is_created_where_none_is_needed(
    terminal: Callable[..., Terminal], tmp_path: Path, arguments: list[str]
):
    shown = terminal(*up(tmp_path / "data", *arguments))
    shown.wait_for("ready on", 60)
    assert "trb_" not in stopped(shown)


def test_without_a_terminal_it_refuses_and_prints_a_command_that_works(run: Run, tmp_path: Path):
    data_dir = tmp_path / "data of mine"
    refused = run(*up(data_dir))
    assert refused.end() == 2, refused.text
    assert "trb_" not in refused.text
    named = re.search(r"`tributary (.*?)`", refused.text)
    assert named is not None, refused.text
    made = tributary(*shlex.split(named[1]))
    assert made.end() == 0, made.text
    secret = _SECRET.search(made.text)
    assert secret is not None
    started = run(*up(data_dir))
    url = started.wait_for(READY)[1]
    header = {"Authorization": f"Bearer {secret[0]}"}
    assert request(url, "POST", "/record", {"a": 1}, header)[0] == 200
    listed = tributary("token", "list", "--json", "--data-dir", str(data_dir))
    assert listed.end() == 0
    assert '"record", "collect"' in listed.text
    assert started.stop() == 0
    assert secret[0] not in started.text


def test_a_token_created_without_a_running_server_is_kept(run: Run, tmp_path: Path):
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}  # of a user who has started nothing yet
    made = tributary("token", "create", "--name", "first", cwd=tmp_path, environ=state)
    assert made.end() == 0, made.text
    assert f"no server is running on {tmp_path / 'data'}; the next" in made.text
    place = ["--data-dir", str(tmp_path / "data")]
    listed = tributary("token", "list", "--json", *place)
    assert listed.end() == 0
    assert '"name": "first"' in listed.text
    started = run("up", "--port", "0", *place)
    started.wait_for(READY)
    assert started.stop() == 0


def test_no_token_is_created_where_it_would_not_be_stored(tmp_path: Path):
    made = tributary(
        "token", "create", "--data-dir", str(tmp_path), environ={"TRIBUTARY_DURABILITY": "memory"}
    )
    assert made.end() == 2
    assert "tributary up" in made.text
    assert "trb_" not in made.text


@pytest.mark.parametrize(
    ("environ", "encoding", "expected"),
    [
        ({"TERM": "xterm-256color"}, "utf-8", True),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, "UTF8", True),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "utf-8", False),
        ({"TERM": "dumb"}, "utf-8", False),
        ({"TERM": "linux"}, "utf-8", False),
        ({"TERM": "xterm-256color"}, "ascii", False),
        ({"TERM": "xterm-256color"}, "iso8859-1", False),
    ],
)
def test_a_code_is_shown_only_where_it_can_be_read(
    environ: dict[str, str], encoding: str, *, expected: bool
):
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, force_terminal=True, _environ=environ)
    assert first_token.shows_codes(console) is expected


def test_up_waits_for_a_token_that_is_being_created(run: Run, tmp_path: Path):
    settings = Settings(data_dir=str(tmp_path / "data"))
    with embedded_server.running(settings) as url:
        started = run("up", "--port", "0", "--data-dir", settings.data_dir)
        with contextlib.closing(redis_client.connect(Settings(redis_url=url))) as client:
            tokens.create(client, Token("t1", "meanwhile", "*", ("record",), 0))
    reached = started.wait_for(READY)[1]
    assert request(reached, "POST", "/record", {"a": 1}, {})[0] == 401
    assert started.stop() == 0


@pytest.mark.parametrize(
    ("host", "url"), [("127.0.0.1", "http://127.0.0.1:80"), ("::1", "http://[::1]:80")]
)
def test_the_url_contains_the_host(host: str, url: str):
    assert first_token.url(host, 80) == url


@pytest.mark.parametrize("host", [OUTSIDE, "::"])
def test_the_url_of_a_server_on_all_addresses_contains_one_of_them(host: str):
    assert first_token.url(host, 80) not in (f"http://{host}:80", f"http://[{host}]:80")
