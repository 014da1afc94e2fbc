"""`tributary top`: the state of a deployment, again and again, on a terminal."""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console, RenderableType
from rich.live import Live

from tributary.cli import interrupts, options, target, terminal
from tributary.cli.target import Target
from tributary.errors import Misconfigured, TributaryError, Unavailable
from tributary.operate import top_view
from tributary.operate.status import stale_devices
from tributary.operate.top_view import Outage, Snapshot

_STALE_EVERY_S = 2.0  # looking at devices costs more than looking at partitions
_ONCE_HEIGHT = 40
_PICTURE_WIDTH = 90


class Watch:
    """A deployment under observation: the last two snapshots, or since when it is away."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._now: Snapshot | None = None
        self._before: Snapshot | None = None
        self._stale_at_s = -_STALE_EVERY_S
        self._away_since_s: float | None = None
        self._reason = ""

    @property
    def is_away(self) -> bool:
        """Whether the last look found nobody."""
        return self._away_since_s is not None

    def look(self, now_s: float, now_ms: int) -> None:
        """Take a snapshot; `now_s` of a clock that only goes forward, `now_ms` UTC."""
        try:
            found = self._target.status()
            stale = self._now.stale if self._now else stale_devices.StaleDevices(0, is_exact=True)
            if now_s - self._stale_at_s >= _STALE_EVERY_S:
                stale = stale_devices.count(self._target.client, self._target.settings, now_ms)
                self._stale_at_s = now_s
        except TributaryError as error:
            if self._away_since_s is None:
                self._away_since_s = now_s
            is_refusal = not isinstance(error, Unavailable)
            self._reason = f"Redis {'tells nothing' if is_refusal else 'is away'} ({error})"
        else:
            self._before, self._now = self._now, Snapshot(found, now_s, stale)
            self._away_since_s = None

    def drawn(self, now_s: float, height: int) -> RenderableType:
        """The frame for the screen."""
        outage = None
        if self._away_since_s is not None:
            outage = Outage(now_s - self._away_since_s, self._reason)
        return top_view.frame(self._now, self._before, outage, self._target.place, height)


@click.command("top", epilog="Example: tributary top --interval-ms 500")
@click.option(
    "--interval-ms",
    type=click.IntRange(100, 60_000),
    default=1000,
    show_default=True,
    help="between two looks",
)
@click.option("--once", is_flag=True, help="print one frame and end; exit 1 if Redis is away")
@click.option("--svg", metavar="FILE", help="with --once: keep the frame as a picture")
@options.add(*options.RUNNING)
def command(*, interval_ms: int, once: bool, svg: str | None, **given: Any) -> None:
    """Watch rates, lag, workers, devices and losses. q or Ctrl-C ends it."""
    interrupts.catch()
    if svg and not once:
        raise Misconfigured("--svg keeps one frame; give --once as well")
    watch = Watch(Target(target.find(given)))
    if once:
        sys.exit(_once(watch, interval_ms / 1000, svg))
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Misconfigured("there is no terminal to draw on; use --once, or tributary status")
    with contextlib.suppress(KeyboardInterrupt):
        _keep_drawing(watch, interval_ms / 1000)


def _once(watch: Watch, interval_s: float, svg: str | None) -> int:
    """Two looks, since a rate needs two, and one frame; the exit status."""
    for pause_s in (interval_s, 0.0):
        watch.look(time.monotonic(), _now_ms())
        if watch.is_away:
            break
        time.sleep(pause_s)
    drawn = watch.drawn(time.monotonic(), _ONCE_HEIGHT)
    terminal.console().print(drawn)
    if svg:
        _keep(drawn, svg)
    return int(watch.is_away)


def _keep(drawn: RenderableType, path: str) -> None:
    canvas = Console(record=True, width=_PICTURE_WIDTH, file=io.StringIO(), force_terminal=True)
    canvas.print(drawn)
    picture = canvas.export_svg(title="tributary top")
    try:  # without the font that it would fetch from another host
        Path(path).write_text(re.sub(r"@font-face {.*?}", "", picture, flags=re.DOTALL))
    except OSError as error:
        raise Misconfigured(f"cannot write --svg {path}: {error.strerror}") from None


def _keep_drawing(watch: Watch, interval_s: float) -> None:
    console = Console()
    with _keys_at_once(), Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            begun_s = time.monotonic()
            watch.look(begun_s, _now_ms())
            live.update(watch.drawn(time.monotonic(), console.height), refresh=True)
            if _quits_within(max(0.0, begun_s + interval_s - time.monotonic())):
                return


def _quits_within(timeout_s: float) -> bool:
    """Whether q is pressed in that time; other keys mean nothing."""
    until_s = time.monotonic() + timeout_s
    while select.select([sys.stdin], [], [], max(0.0, until_s - time.monotonic()))[0]:
        pressed = os.read(sys.stdin.fileno(), 100)
        if not pressed or b"q" in pressed.lower():  # nothing: the terminal is gone
            return True
    return False


@contextlib.contextmanager
def _keys_at_once() -> Iterator[None]:
    """Keys arrive without Enter and are not shown; the terminal is put back afterwards."""
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
