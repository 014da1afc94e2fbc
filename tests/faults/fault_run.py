"""Inject one fault or a storm of faults into a deployment, and check the result."""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from faults import checks
from faults.checks import Check, Findings
from faults.fault_catalogue import CATALOGUE, Fault, find
from faults.rig import Rig, RigOptions, Unsupported

_EMPTY: Mapping[str, Any] = MappingProxyType({})
Progress = Callable[[int], None]


class Result(NamedTuple):
    """The outcome of a run."""

    id: str
    title: str
    seed: int
    times: int
    findings: Findings | None  # None: this machine does not support the fault
    recoveries_s: list[float]
    notes: list[str]
    seconds: float

    @property
    def is_clean(self) -> bool:
        """Whether no guarantee was violated."""
        return self.findings is None or not self.findings.violations

    def recovery_ms(self, percentile: float) -> str:
        """Recovery time in ms, as text; a dash if none was measured."""
        if not self.recoveries_s:
            return "-"
        return f"{np.percentile(self.recoveries_s, percentile) * 1000:.0f}"


class RunOptions(NamedTuple):
    """How to run a fault."""

    seed: int
    times: int = 0  # 0: as in the catalogue
    overrides: Mapping[str, Any] = _EMPTY  # settings of the roles under test
    is_keyed: bool = True  # senders retry with an Idempotency-Key
    progress: Progress = lambda _: None


def run_one(fault: Fault, run: RunOptions) -> Result:
    """Inject one fault into a deployment of its own."""
    run = run._replace(times=run.times or fault.times)
    result = Result(fault.id, fault.title, run.seed, run.times, None, [], [], 0.0)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-") as name, contextlib.ExitStack() as stack:
        options = fault.options._replace(is_keyed=run.is_keyed)
        try:
            if fault.prepare is not None:
                options = stack.enter_context(fault.prepare(Path(name), options))
        except Unsupported as error:
            return result._replace(times=0, notes=[f"not run: {error}"])
        rig = Rig(Path(name), run.seed, options, run.overrides)
        with contextlib.closing(rig):
            rig.on_progress = run.progress
            findings = _inject_and_check(rig, fault.check, lambda: fault.inject(rig, run.times))
    seconds = time.monotonic() - began_s
    return result._replace(
        findings=findings, recoveries_s=rig.recoveries_s, notes=rig.notes, seconds=seconds
    )


def _inject_and_check(rig: Rig, check: Check, inject: Callable[[], None]) -> Findings:
    """Inject under load, drain, check; a timeout on the way is a violation."""
    try:
        rig.wait_for_readings(100)
        inject()
        rig.wait_for_readings(20)
        rig.drain()
    except AssertionError as error:
        return Findings(rig.load.ledger.acknowledged, 0, 0, 0, 0, [str(error) or repr(error)])
    return check(rig)


def run_storm(run: RunOptions, seconds: float) -> Result:
    """Inject many kinds of fault into one deployment, in random order."""
    began_s = time.monotonic()
    injected: list[str] = []

    def inject(rig: Rig) -> None:
        for fault in _shuffled_endlessly(random.Random(run.seed)):
            if time.monotonic() - began_s > seconds:
                return
            injected.append(fault.id)
            fault.inject(rig, fault.storm_times)

    options = RigOptions(is_keyed=run.is_keyed)
    with (
        tempfile.TemporaryDirectory(prefix="chaos-") as name,
        contextlib.closing(Rig(Path(name), run.seed, options, run.overrides)) as rig,
    ):
        findings = _inject_and_check(rig, checks.exactly_once, lambda: inject(rig))
    notes = [f"{len(set(injected))} kinds: {' '.join(injected)}"]
    times = sum(find(id_).storm_times for id_ in injected)
    return Result(
        "storm", "random faults", run.seed, times, findings, rig.recoveries_s, notes,
        time.monotonic() - began_s,
    )  # fmt: skip


def _shuffled_endlessly(rng: random.Random) -> Iterator[Fault]:
    """The faults that can share a deployment, reshuffled after each pass."""
    faults = [fault for fault in CATALOGUE if fault.storm_times]
    while True:
        rng.shuffle(faults)
        yield from faults
