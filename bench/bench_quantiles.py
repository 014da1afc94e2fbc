"""What quantiles per window would cost: the measurement for docs/decisions/0005.

Each series has four sketches, one per open slot of its windows. A reading updates all four, and each
commit writes them back. Sketches of closed slots are stored in Redis.
"""

from __future__ import annotations

import importlib
import json
import math
import random
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import click

from bench import machine
from tributary.settings import Settings

_RELATIVE_ERROR = 0.01
_RATE_HZ = 1
_SERIES_BYTES = 2_745  # per series without quantiles (`scripts/bench memory`)
_READING_US = 10.0  # of the fold with 20,000 series (`scripts/bench fold`)


class Sketch(NamedTuple):
    """A library: functions that create, update and serialize a sketch."""

    make: Callable[[], Any]
    add: Callable[[Any, float], object]
    serialize: Callable[[Any], bytes]


def _serialize_sparse(sketch: Any) -> bytes:
    """The smallest form of a DDSketch: two bytes and a varint for each used bucket."""
    # The buckets have no public accessor; its own protobuf form is larger.
    counts = [int(count) for count in sketch._store.bins if count]  # noqa: SLF001
    return b"".join(bytes(2 + (count.bit_length() + 6) // 7) for count in counts)


def _libraries() -> dict[str, Sketch]:
    dd_sketch = importlib.import_module("ddsketch").DDSketch
    apache = importlib.import_module("datasketches")
    return {
        "ddsketch, 1 %, packed sparsely": Sketch(
            lambda: dd_sketch(_RELATIVE_ERROR), lambda s, v: s.add(v), _serialize_sparse
        ),
        "datasketches KLL, k = 100": Sketch(
            lambda: apache.kll_floats_sketch(100),
            lambda s, v: s.update(v),
            lambda s: bytes(s.serialize()),
        ),
        "datasketches t-digest, k = 50": Sketch(
            lambda: apache.tdigest_double(50),
            lambda s, v: s.update(v),
            lambda s: bytes(s.serialize()),
        ),
    }


_RNG = random.Random(1)  # noqa: S311 repeatable
SIGNALS: dict[str, Callable[[], float]] = {
    "temperature, 90 ± 2": lambda: _RNG.gauss(90, 2),
    "speed, 800 to 6000 evenly": lambda: _RNG.uniform(800, 6000),
}


@click.command("quantiles", epilog="Example: scripts/bench quantiles --series 20000")
@click.option("--series", default=20_000, show_default=True, type=click.IntRange(1))
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
def command(series: int, *, as_json: bool) -> None:
    """Bytes per series and time per reading of sketches; needs the extra `bench`."""
    try:
        libraries = _libraries()
    except ImportError as error:
        raise click.ClickException(
            f"{error}; install with: .venv/bin/pip install -e '.[bench]'"
        ) from None
    rows = [
        {
            "library": name,
            "us_per_reading": _us_per_reading(sketch, series),
            "bytes_per_series": {what: _series_bytes(sketch, s) for what, s in SIGNALS.items()},
        }
        for name, sketch in libraries.items()
    ]
    found = {"machine": machine.description(), "series": series, "rows": rows}
    click.echo(json.dumps(found) if as_json else _text(found))


def _us_per_reading(sketch: Sketch, series: int) -> float:
    """One reading of each series: four sketches to update and serialize."""
    windows = len(Settings().parsed_windows)
    rows = [[sketch.make() for _ in range(windows)] for _ in range(series)]
    for row in rows:  # typical content of the slot of a minute
        for each in row:
            for value in (89.0, 90.0, 91.0, 92.0) * 8:
                sketch.add(each, value)
    began_s = time.process_time()
    for row in rows:
        for each in row:
            sketch.add(each, 90.5)
            sketch.serialize(each)
    return (time.process_time() - began_s) / series * 1e6


def _series_bytes(sketch: Sketch, signal: Callable[[], float]) -> int:
    """Bytes of all slots of all windows at one reading per second."""
    total = 0
    for window in Settings().parsed_windows:
        full = sketch.make()
        for _ in range(max(1, window.slot_ms * _RATE_HZ // 1_000)):
            sketch.add(full, signal())
        total += (window.slots + 1) * len(sketch.serialize(full))
    return total


def _text(found: dict[str, Any]) -> str:
    lines = [
        f"machine {found['machine']}",
        f"before  {_SERIES_BYTES} bytes per series, {_READING_US:.0f} µs per reading",
        "",
        f"| sketch | µs per reading | throughput | {' | '.join(f'bytes: {s}' for s in SIGNALS)} |",
        f"|---|---|---|{'---|' * len(SIGNALS)}",
    ]
    for row in found["rows"]:
        share = _READING_US / (_READING_US + row["us_per_reading"]) - 1
        sizes = [f"+{size:,}" for size in row["bytes_per_series"].values()]
        cost = f"{row['us_per_reading']:.1f} | {math.floor(share * 100)} %"
        lines.append(f"| {row['library']} | {cost} | {' | '.join(sizes)} |")
    return "\n".join(lines)
