"""`tributary top`: the state of a deployment, live on a terminal."""

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
from tributary.errors import Misconfigured, TributaryError, Unavailable
from tributary.model.clock import utc_ms
from tributary.operate import alert_counts, status, top_view
from tributary.operate.status import stale_devices
from tributary.operate.top_view import Outage, Snapshot
from tributary.settings import Settings
from tributary.store import redis_client, redis_url

_STALE_EVERY_S = 2.0  # counting devices and alerts is more expensive than reading partitions
_ONCE_HEIGHT = 40
_SVG_WIDTH = 90


class Watch:
    """The last two snapshots of a deployment, and since when it is unavailable."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = redis_client.connect(settings)
        self._now: Snapshot | None = None
        self._before: Snapshot | None = None
        self._stale_at_s = -_STALE_EVERY_S
        self._unavailable_since_s: float | None = None
        self._reason = ""

    @property
    def is_unavailable(self) -> bool:
        """Whether the last snapshot failed."""
        return self._unavailable_since_s is not None

    def poll(self, now_s: float, now_ms: int) -> None:
        """Take a snapshot; `now_s` is monotonic, `now_ms` is UTC."""
        try:
            if self._now is None:
                self._settings = redis_client.adopt(self._client, self._settings)
            found = status.read(self._client, self._settings)
            alerts = self._now.alerts if self._now else None
            stale = self._now.stale if self._now else stale_devices.StaleDevices(0, is_exact=True)
            if now_s - self._stale_at_s >= _STALE_EVERY_S:
                stale = stale_devices.count(self._client, self._settings, now_ms)
                alerts = alert_counts.read(self._client, self._settings.partitions)
                self._stale_at_s = now_s
        except TributaryError as error:
            if self._unavailable_since_s is None:
                self._unavailable_since_s = now_s
            problem = "is unavailable" if isinstance(error, Unavailable) else "returned an error"
            self._reason = f"Redis {problem} ({error})"
        else:
            self._before, self._now = self._now, Snapshot(found, now_s, stale, alerts)
            self._unavailable_since_s = None

    def render(self, now_s: float, height: int) -> RenderableType:
        """The current frame."""
        outage = None
        if self._unavailable_since_s is not None:
            outage = Outage(now_s - self._unavailable_since_s, self._reason)
        address = redis_url.redacted(self._settings.redis_url)
        return top_view.frame(self._now, self._before, outage, address, height)


@click.command("top", epilog="Example: tributary top --interval-ms 500")
@click.option(
    "--interval-ms",
    type=click.IntRange(100, 60_000),
    default=1000,
    show_default=True,
    help="interval between updates",
)
@click.option(
    "--once", is_flag=True, help="print one frame and exit; exit 1 if Redis is unavailable"
)
@click.option("--svg", metavar="FILE", help="with --once: save the frame as an SVG image")
@options.add(*options.RUNNING)
def command(*, interval_ms: int, once: bool, svg: str | None, **given: Any) -> None:
    """Watch rates, lag, aggregators, devices and losses. Press q or Ctrl-C to quit."""
    interrupts.catch()
    if svg and not once:
        raise Misconfigured("--svg requires --once")
    watch = Watch(target.find(given))
    if once:
        sys.exit(_once(watch, interval_ms / 1000, svg))
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Misconfigured("standard output is not a terminal; use --once, or tributary status")
    with contextlib.suppress(KeyboardInterrupt):
        _draw_live(watch, interval_ms / 1000)


def _once(watch: Watch, interval_s: float, svg: str | None) -> int:
    """Print a frame of two snapshots, since a rate needs two; return the exit status."""
    for pause_s in (interval_s, 0.0):
        watch.poll(time.monotonic(), utc_ms())
        if watch.is_unavailable:
            break
        time.sleep(pause_s)
    frame = watch.render(time.monotonic(), _ONCE_HEIGHT)
    terminal.console().print(frame)
    if svg:
        _save(frame, svg)
    return int(watch.is_unavailable)


def _save(frame: RenderableType, path: str) -> None:
    console = Console(record=True, width=_SVG_WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(frame)
    image = console.export_svg(title="tributary top")
    try:  # without the font, which would be fetched from another host
        Path(path).write_text(re.sub(r"@font-face {.*?}", "", image, flags=re.DOTALL))
    except OSError as error:
        raise Misconfigured(f"cannot write --svg {path}: {error.strerror}") from None


def _draw_live(watch: Watch, interval_s: float) -> None:
    console = Console()
    with _cbreak_mode(), Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            started_s = time.monotonic()
            watch.poll(started_s, utc_ms())
            live.update(watch.render(time.monotonic(), console.height), refresh=True)
            if _quit_pressed(max(0.0, started_s + interval_s - time.monotonic())):
                return


def _quit_pressed(timeout_s: float) -> bool:
    """Whether q is pressed within that time; other keys are ignored."""
    until_s = time.monotonic() + timeout_s
    while select.select([sys.stdin], [], [], max(0.0, until_s - time.monotonic()))[0]:
        pressed = os.read(sys.stdin.fileno(), 100)
        if not pressed or b"q" in pressed.lower():  # empty: the terminal is gone
            return True
    return False


@contextlib.contextmanager
def _cbreak_mode() -> Iterator[None]:
    """Read keys without Enter and without echo; restore the terminal on exit."""
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
