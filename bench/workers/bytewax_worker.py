"""The same mean in Bytewax: over the last minute, for every slot, in memory, without persistence.

This is less work than Tributary does (one window instead of four and totals; no minimum, deviation
or last readings). A window of one slot is less still: sums that a reader would have to add up. It
is the fastest configuration of Bytewax, and measured too.
As a program it prints the readings and the seconds.
"""

from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

from bench import machine
from bench.workers.scenario import SLOT_MS, Result, Scenario

MINUTE_MS = 60_000
_BATCH = 1_000
_CORE = 1
_FIELDS = Scenario._fields[1:]


def work(scenario: Scenario, length_ms: int) -> tuple[int, float]:
    """Readings counted, and seconds from start to end of the flow."""
    # Imported here because Bytewax is optional.
    load = importlib.import_module
    op: Any = load("bytewax.operators")
    windowing: Any = load("bytewax.operators.windowing")
    testing: Any = load("bytewax.testing")

    out: list[Any] = []
    flow = load("bytewax.dataflow").Dataflow("mean")
    readings = op.input("readings", flow, testing.TestingSource(_readings(scenario), _BATCH))
    counted = windowing.fold_window(
        "mean",
        readings,
        windowing.EventClock(itemgetter(0), timedelta(milliseconds=SLOT_MS)),
        windowing.SlidingWindower(
            timedelta(milliseconds=length_ms),
            timedelta(milliseconds=SLOT_MS),
            datetime(2020, 1, 1, tzinfo=UTC),
        )
        if length_ms > SLOT_MS
        else windowing.TumblingWindower(
            timedelta(milliseconds=SLOT_MS), datetime(2020, 1, 1, tzinfo=UTC)
        ),
        lambda: (0, 0.0),
        lambda mean, reading: (mean[0] + 1, mean[1] + reading[1]),
        lambda one, other: (one[0] + other[0], one[1] + other[1]),
        ordered=False,
    )
    op.output("out", counted.down, testing.TestingSink(out))
    began_s = time.perf_counter()
    testing.run_main(flow)
    took_s = time.perf_counter() - began_s
    # Each reading is in as many windows as the length has slots.
    return sum(count for _, (_, (count, _)) in out) * SLOT_MS // length_ms, took_s


def _readings(scenario: Scenario) -> list[tuple[str, tuple[datetime, float]]]:
    items = (scenario.reading(number) for number in range(scenario.readings))
    return [
        (device, (datetime.fromtimestamp(time_ms / 1000, UTC), value))
        for device, time_ms, value in items
    ]


def run(scenario: Scenario, length_ms: int = MINUTE_MS) -> Result:
    """Measure the whole flow."""
    output = subprocess.run(
        _command(scenario, length_ms), stdout=subprocess.PIPE, check=True
    ).stdout
    done = json.loads(output)
    return Result(done["readings"] / done["seconds"], 0.0, 0.0, done["readings"])


def killed(scenario: Scenario) -> int:
    """Kill the flow halfway; returns the readings it had printed until then."""
    began_s = time.monotonic()
    run(scenario, SLOT_MS)
    half_s = (time.monotonic() - began_s) / 2
    process = subprocess.Popen(_command(scenario, SLOT_MS), stdout=subprocess.PIPE)
    try:
        output, _ = process.communicate(timeout=half_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate()
    return int(json.loads(output)["readings"]) if output else 0


def _command(scenario: Scenario, length_ms: int) -> list[str]:
    numbers = [str(getattr(scenario, field)) for field in _FIELDS] + [str(length_ms)]
    return machine.pin(_CORE, [sys.executable, "-m", "bench.workers.bytewax_worker", *numbers])


if __name__ == "__main__":
    *numbers_, length_ms_ = map(int, sys.argv[1:])
    counted_, seconds = work(Scenario("flow", *numbers_), length_ms_)
    sys.stdout.write(json.dumps({"readings": counted_, "seconds": seconds}))
