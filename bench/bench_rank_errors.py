"""How far the quantiles of windows are from those of the readings, and what they cost.

The rank error of a value for p95 is how far the share of readings that it does not exceed is from
0.95; values that are closer than 1/255 of the range of the readings, the step of a mark, count as
equal. It is measured at many times, for every window with enough readings, on generated signals and
on the columns of a CSV file, which hold one reading each.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from numpy.typing import NDArray

from bench import machine
from tributary.model.aggregate import Layout
from tributary.model.counter import Clock, Counter, Form, RollOver
from tributary.model.quantiles import Form as QuantileForm
from tributary.model.quantiles import Quantiles
from tributary.settings import Settings

Floats = NDArray[np.float64]
_LAYOUT = Layout(Settings().parsed_windows, Settings().average_over)
_RANKS = np.array([0.5, 0.95, 0.99])
_START_MS = 1_700_000_000_000
_CLOCK = Clock(1 << 50, 0)
_TIMES = 40  # at which windows are compared
_DISTINCT_MIN, _READINGS_MIN = 8, 200  # of a column
_WINDOW_MIN = 100  # readings: with few of them, every value is far from most ranks


class Row(NamedTuple):
    """The results of one signal; errors in percent, the largest of all windows and times."""

    signal: str
    p50: float
    p95: float
    p99: float
    us_per_reading: float
    size_bytes: int


def _signals(count: int) -> Iterator[tuple[str, Any]]:
    chance, steps = np.random.default_rng(7), np.arange(count)
    noise = chance.normal(0, 1, count)
    yield "normal, 90 ± 2", 90 + 2 * noise
    yield "even, 800 to 6000", chance.uniform(800, 6_000, count)
    yield "exponential", chance.exponential(10, count)
    yield "log-normal", np.exp(1.5 * noise)
    yield "heavy tail", chance.pareto(1.5, count)
    yield "wave and noise", 50 + 20 * np.sin(steps / 200) + noise
    yield "ramp and noise", steps * 0.01 + 0.1 * noise
    yield "random walk", np.cumsum(noise)
    yield "sawtooth", 800 + steps % 90 * 40.0
    yield "1 % spikes up", np.where(chance.random(count) < 0.01, 1_000, 20 + noise)
    yield "1 % spikes down", np.where(chance.random(count) < 0.01, -1_000, 20 + noise)
    yield "two levels in turn", np.where(steps // 700 % 2, 80, 20) + noise / 2
    yield "two levels at random", np.where(chance.random(count) < 0.4, noise, 10 + noise)


def _columns(path: Path, by: str) -> Iterator[tuple[str, Floats]]:
    """The numeric columns of a file with `;` between them, for each value of the column `by`."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    for key in dict.fromkeys(row[by] for row in rows):
        for name in rows[0]:
            values = [_number(row[name]) for row in rows if row[by] == key]
            found = np.array([value for value in values if value is not None])
            is_enough = len(found) >= _READINGS_MIN and len(set(found)) >= _DISTINCT_MIN
            if is_enough and name not in (by, "ord"):
                yield f"{key} {name}", found


def _number(text: str | None) -> float | None:
    try:
        return float((text or "").replace(",", "."))
    except ValueError:
        return None


def _errors(values: Floats, found: Floats) -> Any:
    ordered = np.sort(values)
    near = (ordered[-1] - ordered[0]) / 255 + np.abs(found) * 1e-9
    low = np.searchsorted(ordered, found - near) / len(values)
    high = np.searchsorted(ordered, found + near, "right") / len(values)
    return np.maximum(0.0, np.maximum(low - _RANKS, _RANKS - high))


def _measured(name: str, signal: Floats, interval_ms: int) -> Row:
    quantiles = Quantiles(QuantileForm(_LAYOUT))
    times_ms = _START_MS + np.arange(len(signal)) * interval_ms
    largest, busy_s, first = np.zeros(len(_RANKS)), 0.0, 0
    for last in np.linspace(len(signal) / _TIMES, len(signal), _TIMES, dtype=np.int64).tolist():
        pairs = zip(times_ms[first:last].tolist(), signal[first:last].tolist(), strict=True)
        began_s = time.process_time()
        for time_ms, value in pairs:
            quantiles.add(time_ms, value, _CLOCK)
        busy_s += time.process_time() - began_s
        first = last
        for number in QuantileForm(_LAYOUT).numbers:
            window = _LAYOUT.windows[number]
            now = int(times_ms[last - 1]) // window.slot_ms
            found = quantiles.values(number, range(now - window.slots, now + 1), _RANKS)
            assert found is not None
            begin = np.searchsorted(times_ms, (now - window.slots) * window.slot_ms)
            if last - begin >= _WINDOW_MIN:
                largest = np.maximum(largest, _errors(signal[begin:last], found))
    cost_us = busy_s / len(signal) * 1e6
    p50, p95, p99 = (largest * 100).round(1).tolist()
    return Row(name, p50, p95, p99, round(cost_us, 1), len(quantiles.packed()))


def _counter(readings: int, interval_ms: int) -> tuple[float, int]:
    """Microseconds per reading of a counter, and its bytes."""
    counter = Counter(Form(_LAYOUT.windows, _LAYOUT.average_over), RollOver())
    began_s = time.process_time()
    for number in range(readings):
        counter.add(_START_MS + number * interval_ms, float(number), _CLOCK)
    return (time.process_time() - began_s) / readings * 1e6, len(counter.packed())


@click.command("rank-errors", epilog="Example: scripts/bench rank-errors --readings 90000")
@click.option("--readings", default=90_000, show_default=True, type=click.IntRange(1_000))
@click.option("--interval-ms", default=1_000, show_default=True, type=click.IntRange(1))
@click.option("--file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--by", default="VEHICLE_ID", show_default=True, help="column with the device")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
def command(readings: int, interval_ms: int, file: Path | None, by: str, *, as_json: bool) -> None:
    """Rank errors of p50, p95 and p99, and CPU time per reading of quantiles and counters."""
    signals = _signals(readings) if file is None else _columns(file, by)
    rows = [_measured(name, signal, interval_ms) for name, signal in signals]
    found = {"machine": machine.description(), "interval_ms": interval_ms,
             "rows": [row._asdict() for row in rows]}  # fmt: skip
    found["counter_us_per_reading"], found["counter_bytes"] = _counter(readings, interval_ms)
    click.echo(json.dumps(found) if as_json else _text(found, rows))


def _text(found: dict[str, Any], rows: list[Row]) -> str:
    lines = [
        f"machine {found['machine']}; a reading every {found['interval_ms']} ms",
        f"counter {found['counter_us_per_reading']:.1f} µs per reading, {found['counter_bytes']} bytes",
        "",
        "| signal | p50 % | p95 % | p99 % | µs per reading | bytes |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)])
