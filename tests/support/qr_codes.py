"""Reads QR codes as a camera would: from pixels."""

from __future__ import annotations

import numpy as np
import zxingcpp

_PIXELS = 6  # of a module; those of a terminal are not square, but a half of a character nearly is
_HALVES = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}


def of_lines(lines: list[str]) -> str:
    """The text of a code that a terminal shows in half blocks, dark on light."""
    halves = [[_HALVES[character] for character in line] for line in lines]
    return _read([[half[row] for half in line] for line in halves for row in (0, 1)])


def of_outline(size: int, path: str) -> str:
    """The text of a code from `M x y h width v1 H x z` of an SVG path."""
    rows = [[0] * size for _ in range(size)]
    for part in filter(None, path.split("z")):
        position, _, rest = part.removeprefix("M").partition("h")
        (x, y), width = map(int, position.split()), int(rest.partition("v")[0])
        rows[y][x : x + width] = [1] * width
    return _read(rows)


def _read(rows: list[list[int]]) -> str:
    dark = np.array(rows, dtype=np.uint8)
    pixels = np.kron(1 - dark, np.ones((_PIXELS, _PIXELS), dtype=np.uint8)) * 255
    (found,) = zxingcpp.read_barcodes(pixels, try_invert=False)
    return found.text
