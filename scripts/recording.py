"""Records commands in a pseudo-terminal as an asciicast, and draws it as an animated SVG.

The commands run and their output is what they print; only the prompts and the typing are drawn.
asciicast version 2: https://docs.asciinema.org/manual/asciicast/v2/. The SVG needs no script and
no file from elsewhere: its frames are below one another, and CSS moves the one to show into view.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import pyte

COLUMNS, LINES = 96, 26
_READY = b"ready on"
_TIMEOUT_S = 300.0
_KEY_S, _LINE_S, _END_S = 0.03, 0.8, 4.0
_IDLE_MAX_S = 1.5  # longer pauses are cut
_FRAME_S = 0.12  # changes within this time are one frame
_CELL_PX, _LINE_PX, _MARGIN_PX, _FONT_PX = 8.4, 18.0, 14.0, 14.0
_BACK, _TEXT = "#0c1417", "#d7e3e6"
_COLOURS = {
    "black": "#54676d", "red": "#ff8a7a", "green": "#58c98a", "brown": "#e9b04d",
    "blue": "#8fb4ff", "magenta": "#ff8fc0", "cyan": "#4fd1c9", "white": "#ffffff",
}  # fmt: skip
TITLE = "scripts/up, a reading recorded and collected with curl, and a simulated fleet"
Event = tuple[float, str]  # seconds since the start, output


class Recorder:
    """Collects what a terminal would show, with the time of each part."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._at_s = 0.0

    def show(self, text: str, after_s: float) -> None:
        """Add output that appears `after_s` after the previous one."""
        self._at_s += min(after_s, _IDLE_MAX_S)
        self.events.append((round(self._at_s, 3), text))

    def type(self, command: str) -> None:
        """Draw a prompt and a command that somebody types."""
        self.show("\x1b[36m$\x1b[0m ", _LINE_S)
        for character in command:
            self.show(character, _KEY_S)
        self.show("\r\n", _LINE_S)

    @contextlib.contextmanager
    def running(self, command: str, environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        """Type and start a command; record until it ends or is ready. Stopped at the end."""
        self.type(command)
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"],
            stdin=slave, stdout=slave, stderr=slave, env=environ, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        try:
            self._read(master, process)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            os.close(master)

    def _read(self, master: int, process: subprocess.Popen[bytes]) -> None:
        before_s = time.monotonic()
        deadline_s, written = before_s + _TIMEOUT_S, b""
        while _READY not in written:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"not ready after {_TIMEOUT_S:.0f} s: {written.decode()}")
            if not select.select([master], [], [], 0.05)[0]:
                if process.poll() is not None:
                    return
                continue
            try:
                part = os.read(master, 65536)
            except OSError:  # the last process has closed it
                return
            now_s = time.monotonic()
            self.show(part.decode(errors="replace"), now_s - before_s)
            before_s, written = now_s, written + part


def record(port: int, *, cars: int = 25, seconds: int = 5) -> list[Event]:
    """Run the first commands of the README against a new server on `port`."""
    url = f"http://127.0.0.1:{port}"
    recorder = Recorder()
    with tempfile.TemporaryDirectory() as data:
        environ = {
            **os.environ,
            "TERM": "xterm-256color",
            "TRIBUTARY_DATA_DIR": data,
            "TRIBUTARY_PORT": str(port),
        }
        with recorder.running("scripts/up", environ):
            recorder.show("\r\n\x1b[2m# in another terminal\x1b[0m\r\n", _LINE_S)
            for command in (
                f"""curl -sS -d '{{"engine_temperature": 92.3}}' {url}/record""",
                f"curl -sS {url}/collect",
                f".venv/bin/tributary simulate --devices {cars} --seconds {seconds} --url {url}",
                ".venv/bin/tributary status",
            ):
                with recorder.running(command, environ):
                    if recorder.events[-1][1].endswith("}"):  # curl ends without a line end
                        recorder.show("\r\n", 0.0)
        recorder.show("", _END_S)
    return recorder.events


def asciicast(events: list[Event]) -> str:
    """The recording in the format of asciinema, version 2."""
    header = {"version": 2, "width": COLUMNS, "height": LINES, "title": "Tributary"}
    lines = [json.dumps(header), *(json.dumps([at, "o", text]) for at, text in events)]
    return "\n".join(lines) + "\n"


def frames(events: list[Event]) -> list[tuple[float, list[str]]]:
    """The screens of a recording with their times: each line as SVG."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.Stream(screen)
    found: list[tuple[float, list[str]]] = []
    for number, (at_s, text) in enumerate(events):
        stream.feed(text)
        is_last = number == len(events) - 1
        if not is_last and events[number + 1][0] - at_s < _FRAME_S / 4:
            continue
        shown = [_line(screen, row) for row in range(LINES)]
        if found and at_s - found[-1][0] < _FRAME_S and not is_last:
            found[-1] = (found[-1][0], shown)
        elif not found or shown != found[-1][1]:
            found.append((at_s, shown))
    return found


def _line(screen: pyte.Screen, row: int) -> str:
    """A line of the screen as `tspan` elements, one per run of equal colour."""
    parts: list[str] = []
    cells = [screen.buffer[row][column] for column in range(COLUMNS)]
    begin = 0
    while begin < COLUMNS:
        end = begin
        style = (cells[begin].fg, cells[begin].bold)
        while end < COLUMNS and (cells[end].fg, cells[end].bold) == style:
            end += 1
        text = "".join(cell.data for cell in cells[begin:end])
        if text.strip():
            left = len(text) - len(text.lstrip())
            colour = _colour(style[0])
            weight = ' font-weight="bold"' if style[1] else ""
            length = len(text.strip())
            parts.append(
                f'<tspan x="{_MARGIN_PX + (begin + left) * _CELL_PX:.1f}" '
                f'textLength="{length * _CELL_PX:.1f}" fill="{colour}"{weight}>'
                f"{escape(text.strip())}</tspan>"
            )
        begin = end
    return "".join(parts)


def _colour(name: str) -> str:
    """The CSS colour of a pyte colour: a name, `bright` and a name, or six hexadecimal digits."""
    if re.fullmatch("[0-9a-f]{6}", name):
        return f"#{name}"
    return _COLOURS.get(name.removeprefix("bright"), _TEXT)


def svg(events: list[Event]) -> str:
    """The recording as an SVG that repeats; without motion it shows the end."""
    shown = frames(events)
    total_s = events[-1][0]
    width, height = COLUMNS * _CELL_PX + 2 * _MARGIN_PX, LINES * _LINE_PX + 2 * _MARGIN_PX
    ids: dict[str, str] = {}
    groups = []
    for number, (_, lines) in enumerate(shown):
        uses = [
            f'<use href="#{ids.setdefault(line, f"l{len(ids)}")}" '
            f'y="{number * height + _MARGIN_PX + (row + 0.75) * _LINE_PX:.1f}"/>'
            for row, line in enumerate(lines)
            if line
        ]
        groups.append("".join(uses))
    texts = "".join(f'<text id="{id_}">{line}</text>' for line, id_ in ids.items())
    steps = "".join(
        f"{100 * at_s / total_s:.3f}%{{transform:translateY({-number * height:.1f}px)}}"
        for number, (at_s, _) in enumerate(shown)
    )
    end = f"transform:translateY({-(len(shown) - 1) * height:.1f}px)"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.1f} {height:.1f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img">\n<title>{TITLE}</title>\n<style>'
        f"text{{font:{_FONT_PX}px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;"
        f"white-space:pre}}"
        f"@keyframes play{{{steps}}}"
        f"#film{{animation:play {total_s:.2f}s step-end infinite}}"
        f"@media(prefers-reduced-motion:reduce){{#film{{animation:none;{end}}}}}"
        f'</style>\n<defs>{texts}</defs>\n<rect width="100%" height="100%" rx="10" fill="{_BACK}"/>\n'
        f'<g id="film">{"".join(groups)}</g>\n</svg>\n'
    )


def main() -> None:
    """Write both files; the optional argument is a folder other than docs/images."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")
    events = record(int(os.environ.get("TRIBUTARY_PORT", "8000")))
    (folder / "first-start.cast").write_text(asciicast(events))
    (folder / "first-start.svg").write_text(svg(events))


if __name__ == "__main__":
    main()
