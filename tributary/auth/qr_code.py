"""QR codes of links that open the dashboard signed in. Pure.

The link has the token in its fragment, which a browser sends to no server, so it is in no log and
no `Referer`; the page removes it from the address bar, but a browser may keep it in its list of
visited addresses. The code is a picture of the token: whoever can photograph it has the token.

ISO/IEC 18004: error correction of level L, because a screen has no damaged spots, and a code with
few modules is easier to read; a quiet zone of 4 modules. On a terminal it is 2, which phones
read as well, so that the code of a token fits on 24 lines.
"""

from __future__ import annotations

_QUIET_ZONE, _QUIET_ZONE_NARROW = 4, 2
_ABOVE_BELOW = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}
# Black on white of the 256 colours: unlike the first 16, no theme changes them. Without colours,
# half of the terminals would show the code inverted, which not every phone reads.
_COLOURS, _RESET = "\x1b[38;5;16;48;5;231m", "\x1b[0m"


def link(url: str, secret: str | None) -> str:
    """The URL that opens the dashboard at `url`, signed in with the token `secret` if given."""
    return f"{url}/#token={secret}" if secret else f"{url}/"


def terminal_lines(text: str) -> list[str]:
    """The code as lines of equal width; each character is two modules, one above the other."""
    rows = _modules(text, _QUIET_ZONE_NARROW)
    even = rows if len(rows) % 2 == 0 else [*rows, [0] * len(rows)]
    return [
        "".join(map(_ABOVE_BELOW.__getitem__, zip(above, below, strict=True)))
        for above, below in zip(even[::2], even[1::2], strict=True)
    ]


def coloured(line: str) -> str:
    """A line in black on white, for a terminal with 256 colours."""
    return f"{_COLOURS}{line}{_RESET}"


def outline(text: str) -> tuple[int, str]:
    """Width of the code in modules, and the dark ones as the `d` of an SVG path of that width."""
    rows = _modules(text, _QUIET_ZONE)
    parts: list[str] = []
    for y, row in enumerate(rows):
        x = 0
        while x < len(row):
            begin = x
            while x < len(row) and row[x]:
                x += 1
            if x > begin:
                parts.append(f"M{begin} {y}h{x - begin}v1H{begin}z")
            x += 1
    return len(rows), "".join(parts)


def _modules(text: str, quiet_zone: int) -> list[list[int]]:
    """The modules of the code by row; 1: dark."""
    import segno  # noqa: PLC0415 (takes 70 ms, and most processes show no code)

    code = segno.make(text, error="l", boost_error=False, micro=False)
    return [list(row) for row in code.matrix_iter(border=quiet_zone)]
