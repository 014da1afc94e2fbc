"""`tributary top` on a terminal: its frames, its keys, and outages of Redis."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import redis
from support import pipeline
from support.account import post
from support.processes import Process, Server, sigint_ignored, stopped, tributary
from support.terminals import Terminal
from support.waiting import wait_until

from tributary.operate import status
from tributary.settings import Settings
from tributary.store import keys

Run = Callable[..., Process]
Top = Callable[..., Terminal]
_LEAVES_SCREEN = b"\x1b[?1049l"
_SHOWS_CURSOR = b"\x1b[?25h"


@pytest.fixture
def top() -> Iterator[Top]:
    """Start `tributary top` on a terminal of its own."""
    started: list[Terminal] = []

    def start(url: str, *arguments: str, **size: int) -> Terminal:
        command = ("top", "--redis-url", url, "--interval-ms", "100", *arguments)
        started.append(Terminal(*command, **size))
        return started[-1]

    yield start
    for terminal in started:
        terminal.close()


def is_as_before(terminal: Terminal) -> bool:
    written = terminal.written
    return (
        terminal.modes_now == terminal.modes
        and _LEAVES_SCREEN in written
        and written.rindex(_SHOWS_CURSOR) > written.rindex(b"\x1b[?25l")
    )


def test_shows_all_counts_on_80_columns(top: Top, server: Server, client: redis.Redis):
    client.hset(keys.CONFIG, "partitions", 16)
    post(client, 5, 1234)
    client.hset(keys.meta(3), "refused", 77)
    terminal = top(server.url)
    terminal.wait_for("1,234 readings")
    screen = terminal.wait_for("aggregators: 0")  # the last line: nothing more is being drawn
    assert "…" not in screen.splitlines()[2], screen
    for text in (
        "accepted",
        "applied",
        "late",
        "dead",
        "lost",
        "refused",
        "no aggregator is alive",
    ):
        assert text in screen, screen
    assert re.search(r"total +1,234 +0 +0 +0 +0 +77", screen), screen
    first = screen[screen.index("partition") :].splitlines()[1]
    assert re.match(r"5 +0 +0 +1,234 +1 +\d+\.\d +none", first), screen
    assert "more partitions with less lag" in screen


def test_rates_rise_and_fall(top: Top, server: Server, client: redis.Redis):
    terminal = top(server.url)
    terminal.wait_for("total")

    def is_counting() -> bool:
        post(client, 1, 10)
        return re.search(r"per second +[1-9]", terminal.screen) is not None

    wait_until(is_counting, "a rate above 0")
    wait_until(lambda: re.search(r"per second +0 ", terminal.screen), "the rate to be 0 again")


def test_shows_aggregators_devices_and_stale_devices(
    top: Top, server: Server, client: redis.Redis, settings: Settings, run: Run
):
    run("aggregator", environ=pipeline.environ(settings))
    wait_until(lambda: status.aggregators_alive(client, settings), "the aggregator to be alive")
    for number in range(3):
        post(client, number, 1, device=f"car-{number}")
    terminal = top(server.url)
    terminal.wait_for("3, 3 stale")
    screen = terminal.wait_for("ms ago")
    assert "none" not in screen
    assert re.search(r"\S+ +4 +\d+ ms ago", screen), screen


@pytest.mark.parametrize("key", ["q", "Q", "xq", "\x03"], ids=["q", "Q", "xq", "Ctrl-C"])
def test_a_key_ends_it_and_restores_the_terminal(top: Top, server: Server, key: str):
    terminal = top(server.url, "--interval-ms", "60000")
    terminal.wait_for("total")
    terminal.press(key)
    assert terminal.end() == 0
    wait_until(lambda: is_as_before(terminal), "the terminal to be as before")
    assert b"Traceback" not in terminal.written


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_restores_the_terminal(
    top: Top, server: Server, number: signal.Signals
):
    with sigint_ignored():
        terminal = top(server.url)
    terminal.wait_for("total")
    terminal.popen.send_signal(number)
    assert terminal.end() == 0
    wait_until(lambda: is_as_before(terminal), "the terminal to be as before")


def test_reports_an_outage_of_redis_and_recovers(top: Top, own_server: Callable[..., Server]):
    server = own_server()
    post(server.client, 0, 42)
    terminal = top(server.url)
    terminal.wait_for("42 readings")
    server.kill()
    screen = terminal.wait_for("Redis is unavailable")
    assert "42 readings" in screen, "the last figures remain"
    server.start()
    post(server.client, 0, 1)
    assert "Redis is unavailable" not in terminal.wait_for("43 readings")


def test_q_ends_it_while_redis_hangs(top: Top, own_server: Callable[..., Server]):
    server = own_server()
    terminal = top(server.url)
    terminal.wait_for("total")
    with stopped(server.process):
        terminal.wait_for("Redis is unavailable")
        terminal.press("q")
        assert terminal.end() == 0
    wait_until(lambda: is_as_before(terminal), "the terminal to be as before")


def test_can_be_started_before_redis(top: Top, own_server: Callable[..., Server]):
    server = own_server()
    server.kill()
    terminal = top(server.url)
    terminal.wait_for("no data yet")
    server.start()
    terminal.wait_for("total")


def test_the_frame_fits_small_and_large_terminals(top: Top, server: Server):
    for lines in (16, 24, 60):
        terminal = top(server.url, lines=lines)
        screen = terminal.wait_for("readings")
        assert screen.splitlines()[0].startswith("Tributary")
        if lines > 50:
            assert "less lag" not in terminal.wait_for("aggregators: 0")


def test_once_prints_one_frame_and_exits(server: Server, client: redis.Redis):
    post(client, 0, 5)
    process = tributary("top", "--once", "--interval-ms", "100", "--redis-url", server.url)
    assert process.end() == 0
    assert process.text.count("total") == 1
    assert "\x1b" not in process.text


def test_svg_saves_a_frame_without_external_references(
    server: Server, client: redis.Redis, tmp_path: Path
):
    post(client, 0, 4321)
    picture = tmp_path / "top.svg"
    options = ("--once", "--interval-ms", "100", "--svg", str(picture))
    assert tributary("top", *options, "--redis-url", server.url).end() == 0
    root = ET.parse(picture).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "4,321" in "".join(root.itertext())
    fetched = re.findall(r"(?:url\(|href=)[\"']?(https?:[^\"')]+)", picture.read_text())
    assert fetched == []


def test_svg_requires_once(server: Server, tmp_path: Path):
    process = tributary("top", "--svg", str(tmp_path / "top.svg"), "--redis-url", server.url)
    assert process.end() == 2
    assert "--svg" in process.text


def test_once_without_redis_exits_1():
    process = tributary("top", "--once", "--redis-url", "redis://127.0.0.1:1/0")
    assert process.end() == 1
    assert "Redis is unavailable" in process.text


def test_without_a_terminal_it_suggests_alternatives(server: Server):
    process = tributary("top", "--redis-url", server.url)
    assert process.end() == 2
    assert "--once" in process.text
