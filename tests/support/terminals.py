"""A terminal for commands that draw on one: a pseudo-terminal, and what stands on its screen."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pyte

from support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
# The child takes the terminal as its own, so that Ctrl-C is a signal, as with a person's.
_OWN = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv(sys.executable, [sys.executable, '-m', 'tributary', *sys.argv[1:]])"
)


class Terminal:
    """`tributary …` on a terminal of a given size, a person's keys, and the screen."""

    def __init__(self, *arguments: str, columns: int = 80, lines: int = 24) -> None:
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._written = bytearray()
        self._lock = threading.Lock()
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.modes = termios.tcgetattr(theirs)
        self._theirs = theirs  # kept open, so that its modes can be asked for in the end
        environ = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        self.popen = subprocess.Popen(
            [sys.executable, "-c", _OWN, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            cwd=ROOT,
            env={**environ, "TERM": "xterm-256color"},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def screen(self) -> str:
        """What stands on the screen."""
        with self._lock:
            return "\n".join(line.rstrip() for line in self._screen.display)

    @property
    def written(self) -> bytes:
        """Everything that was written so far, control sequences included."""
        with self._lock:
            return bytes(self._written)

    @property
    def modes_now(self) -> list[object]:
        """How the terminal treats keys: echo, lines, signals."""
        return termios.tcgetattr(self._theirs)

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def wait_for(self, text: str, timeout_s: float = 20.0) -> str:
        """The screen once it shows a text."""

        def shown() -> str | None:
            screen = self.screen
            assert self.popen.poll() is None or text in screen, f"it has ended: {screen}"
            return screen if text in screen else None

        return wait_until(shown, f"{text!r} on the screen", timeout_s) or ""

    def end(self, timeout_s: float = 10.0) -> int:
        """Wait for the end; the exit status."""
        return self.popen.wait(timeout_s)

    def close(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        os.close(self._theirs)
        self._reader.join(5)
        os.close(self._ours)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the last of the other side has closed it
            while True:
                written = os.read(self._ours, 65536)
                with self._lock:
                    self._written += written
                    self._stream.feed(written)
