"""One fault, or many, against a deployment: injected, recovered from, judged."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from chaos import judge
from chaos.catalogue import CATALOGUE, Fault
from chaos.disks import NotHere
from chaos.judge import Found, Judge
from chaos.stand import Needs, Stand, standing

_NONE: Mapping[str, Any] = MappingProxyType({})
Progress = Callable[[int], None]


class Result(NamedTuple):
    """What came of a run."""

    id: str
    title: str
    seed: int
    times: int
    found: Found | None  # None: it could not be run here
    recoveries_s: list[float]
    notes: list[str]
    seconds: float

    @property
    def is_clean(self) -> bool:
        """Whether the promise was kept, as far as it could be tried."""
        return self.found is None or not self.found.faults

    def recovery_ms(self, percentile: float) -> str:
        """Recovery in ms, as text; a dash if nothing was measured."""
        if not self.recoveries_s:
            return "–"
        return f"{np.percentile(self.recoveries_s, percentile) * 1000:.0f}"


def _ignore(_: int) -> None:
    """Nobody watches."""


def one(
    fault: Fault,
    seed: int,
    times: int = 0,
    given: Mapping[str, Any] = _NONE,
    progress: Progress = _ignore,
) -> Result:
    """Inject a fault so many times (0: as often as the catalogue says) and judge.

    Raises:
        AssertionError: something that was waited for did not happen.
    """
    times = times or fault.times
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        try:
            if fault.prepare is None:
                found, stand = _tried(fault, fault.needs, folder, seed, times, given, progress)
            else:
                with fault.prepare(folder, fault.needs) as needs:
                    found, stand = _tried(fault, needs, folder, seed, times, given, progress)
        except NotHere as why:
            return Result(fault.id, fault.title, seed, 0, None, [], [f"not run: {why}"], 0.0)
    seconds = time.monotonic() - began_s
    return Result(
        fault.id, fault.title, seed, times, found, stand.recoveries_s, stand.notes, seconds
    )


def _tried(
    fault: Fault,
    needs: Needs,
    folder: Path,
    seed: int,
    times: int,
    given: Mapping[str, Any],
    progress: Progress,
) -> tuple[Found, Stand]:
    with standing(folder, seed, needs, given) as stand:
        stand.on_progress = progress
        stand.settle_load(100)
        fault.inject(stand, times)
        stand.settle_load(20)
        return _judged(stand, fault.judge), stand


def _judged(stand: Stand, by: Judge) -> Found:
    stand.drain()
    return by(stand)


def storm(seed: int, seconds: float, given: Mapping[str, Any] = _NONE) -> Result:
    """Many kinds of fault on one deployment, in an order that the seed decides."""
    order = random.Random(seed)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        with standing(Path(name), seed, Needs(), given) as stand:
            stand.settle_load(100)
            injected = 0
            for fault in _endless(order):
                if time.monotonic() - began_s > seconds:
                    break
                stand.notes.append(fault.id)
                fault.inject(stand, fault.storm)
                injected += fault.storm
            dead = stand.status()["dead"]
            found = _judged(stand, judge.exact)
            notes = [f"{injected} faults of {len(set(_names(stand.notes)))} kinds: "
                     + " ".join(_names(stand.notes)), f"{dead} dead"]  # fmt: skip
            return Result(
                "storm", "many kinds at random", seed, injected, found, stand.recoveries_s,
                notes, time.monotonic() - began_s,
            )  # fmt: skip


def _names(notes: list[str]) -> list[str]:
    known = {fault.id for fault in CATALOGUE}
    return [note for note in notes if note in known]


def _endless(order: random.Random) -> Iterator[Fault]:
    """The faults that bear company, shuffled, again and again."""
    fit = [fault for fault in CATALOGUE if fault.storm]
    while True:
        order.shuffle(fit)
        yield from fit
