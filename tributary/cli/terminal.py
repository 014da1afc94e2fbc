"""Consoles, progress bars and text for commands that print tables."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_WIDTH_WITHOUT_TERMINAL = 120


def console() -> Console:
    """A console on standard output; files and pipes get a fixed width and no colours."""
    return Console(
        width=None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL,
        highlight=False,
        markup=False,
        emoji=False,
    )


def progress(on: Console, *columns: ProgressColumn) -> Progress:
    """A progress bar with extra columns; invisible without a terminal."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        *columns,
        TimeRemainingColumn(),
        console=on,
        disable=not on.is_terminal,
        expand=True,
    )


def plain(value: object) -> Text:
    """Untrusted text without markup or control sequences."""
    return Text(printable(str(value)))


def printable(text: str) -> str:
    """Escape control characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def size(size_bytes: float) -> str:
    """A human-readable size: `249.9 KiB`."""
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
