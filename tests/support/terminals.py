"""A pseudo-terminal for interactive commands, with the contents of its screen."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import sys
import termios
import threading
from pathlib import Path

import pyte

from support.forking import ForkedPopen
from support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
# The child makes it its controlling terminal, so that Ctrl-C sends a signal.
_OWN = (
    "import fcntl, runpy, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "runpy.run_module('tributary', run_name='__main__', alter_sys=True)"
)


class Terminal:
    """`tributary …` on a terminal of a given size, with key presses and the screen."""

    def __init__(self, *arguments: str, columns: int = 80, lines: int = 24) -> None:
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._written = bytearray()
        self._shown: str | None = None  # the screen as text, until more is written
        self._lock = threading.Lock()
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.modes = termios.tcgetattr(slave)
        self._slave = slave  # kept open to read its modes at the end
        environ = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        self.popen = ForkedPopen(
            [sys.executable, "-c", _OWN, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            cwd=ROOT,
            env={**environ, "TERM": "xterm-256color"},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def screen(self) -> str:
        """The text on the screen."""
        with self._lock:
            if self._shown is None:
                self._shown = "\n".join(line.rstrip() for line in self._screen.display)
            return self._shown

    @property
    def written(self) -> bytes:
        """All output so far, including control sequences."""
        with self._lock:
            return bytes(self._written)

    @property
    def modes_now(self) -> list[object]:
        """The current modes of the terminal: echo, line buffering, signals."""
        return termios.tcgetattr(self._slave)

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait_for(self, text: str, timeout_s: float = 20.0) -> str:
        """The screen, once it shows a text."""

        def shown() -> str | None:
            screen = self.screen
            assert self.popen.poll() is None or text in screen, f"exited: {screen}"
            return screen if text in screen else None

        return wait_until(shown, f"{text!r} on the screen", timeout_s) or ""

    def end(self, timeout_s: float = 10.0) -> int:
        """Wait for the process to exit; its exit status."""
        return self.popen.wait(timeout_s)

    def close(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        os.close(self._slave)
        self._reader.join(5)
        os.close(self._master)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the last process has closed it
            while True:
                written = os.read(self._master, 65536)
                with self._lock:
                    self._written += written
                    self._shown = None
                    self._stream.feed(written)
