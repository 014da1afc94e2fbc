"""What commands that draw tables and bars share."""

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
    """Standard output; what goes to a file or pipe has a fixed width and no colours."""
    return Console(
        width=None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL,
        highlight=False,
        markup=False,
        emoji=False,
    )


def progress(on: Console, *columns: ProgressColumn) -> Progress:
    """A progress bar with some columns behind it; nothing where there is no terminal."""
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
    """Anything from outside as text that cannot command the terminal."""
    return Text(printable(str(value)))


def printable(text: str) -> str:
    """Text with control characters made visible."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def size(size_bytes: int) -> str:
    """A size for people: `249.9 KiB`."""
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
