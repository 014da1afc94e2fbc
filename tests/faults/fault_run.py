"""One fault, or many, against a deployment: injected, recovered from, judged."""

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
from faults.checks import Found, Judge
from faults.disk_faults import NotHere
from faults.fault_catalogue import CATALOGUE, Fault, find
from faults.rig import Needs, Stand, standing

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
            return "-"
        return f"{np.percentile(self.recoveries_s, percentile) * 1000:.0f}"


def _ignore(_: int) -> None:
    """Nobody watches."""


class Order(NamedTuple):
    """How a fault is to be run."""

    seed: int
    times: int = 0  # 0: as often as the catalogue says
    given: Mapping[str, Any] = _NONE  # settings of the roles under test
    is_keyed: bool = True  # senders retry by Idempotency-Key
    progress: Progress = _ignore


def one(fault: Fault, order: Order) -> Result:
    """Inject a fault and judge."""
    order = order._replace(times=order.times or fault.times)
    result = Result(fault.id, fault.title, order.seed, order.times, None, [], [], 0.0)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-") as name, contextlib.ExitStack() as prepared:
        needs = fault.needs._replace(is_keyed=order.is_keyed)
        try:
            if fault.prepare is not None:
                needs = prepared.enter_context(fault.prepare(Path(name), needs))
        except NotHere as why:
            return result._replace(times=0, notes=[f"not run: {why}"])
        with standing(Path(name), order.seed, needs, order.given) as stand:
            stand.on_progress = order.progress
            found = _judged(stand, fault.judge, lambda: fault.inject(stand, order.times))
    seconds = time.monotonic() - began_s
    return result._replace(
        found=found, recoveries_s=stand.recoveries_s, notes=stand.notes, seconds=seconds
    )


def _judged(stand: Stand, by: Judge, inject: Callable[[], None]) -> Found:
    """Inject, let everything drain, judge; what did not happen in time breaks the promise too."""
    try:
        stand.settle_load(100)
        inject()
        stand.settle_load(20)
        stand.drain()
    except AssertionError as unmet:
        return Found(stand.load.ledger.acknowledged, 0, 0, 0, 0, [str(unmet) or repr(unmet)])
    return by(stand)


def storm(order: Order, seconds: float) -> Result:
    """Many kinds of fault on one deployment, in an order that the seed decides."""
    began_s = time.monotonic()
    injected: list[str] = []

    def inject(stand: Stand) -> None:
        for fault in _endless(random.Random(order.seed)):
            if time.monotonic() - began_s > seconds:
                return
            injected.append(fault.id)
            fault.inject(stand, fault.storm)

    needs = Needs(is_keyed=order.is_keyed)
    with (
        tempfile.TemporaryDirectory(prefix="chaos-") as name,
        standing(Path(name), order.seed, needs, order.given) as stand,
    ):
        found = _judged(stand, checks.exact, lambda: inject(stand))
    notes = [f"{len(set(injected))} kinds: {' '.join(injected)}"]
    times = sum(find(id_).storm for id_ in injected)
    title, lasted_s = "many kinds at random", time.monotonic() - began_s
    return Result("storm", title, order.seed, times, found, stand.recoveries_s, notes, lasted_s)


def _endless(order: random.Random) -> Iterator[Fault]:
    """The faults that bear company, shuffled, again and again."""
    fit = [fault for fault in CATALOGUE if fault.storm]
    while True:
        order.shuffle(fit)
        yield from fit
