"""What a run has shown: the oracle's figures, and whether the promise was kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from support.ledger import METRIC, Ledger, Sent, stored, verify

from faults.rig import Stand, direct
from tributary.model.aggregate import Layout
from tributary.store import keys

_EVERYSEC_LOSS_MS = 2_000  # what `appendfsync everysec` may lose with the machine
_SLACK_MS = 500  # between Redis's answer and the moment a sender writes it down


class Found(NamedTuple):
    """Readings by what became of them, in Jepsen's words."""

    acknowledged: int
    lost: int
    duplicated: int
    indeterminate: int  # no answer; counted once or not at all
    refused: int
    faults: list[str]  # what breaks the promise; nothing if it was kept


Judge = Callable[[Stand], Found]


def exact(stand: Stand) -> Found:
    """Every acknowledged reading is stored once and counted once, none else."""
    return _by_streams(stand, may_lose=False)


def exact_but_lost(stand: Stand) -> Found:
    """What is lost was taken away on purpose; the rest is counted once."""
    return _by_streams(stand, may_lose=True)


def lost_within_everysec(stand: Stand) -> Found:
    """What is lost was acknowledged in the last two seconds before a crash."""
    found = _by_streams(stand, may_lose=True)
    earliest_ms = max(_earliest_loss_ms(stand), 0)
    stand.notes.append(f"oldest loss {earliest_ms} ms before the crash")
    if earliest_ms > _EVERYSEC_LOSS_MS + _SLACK_MS:
        found.faults.append(f"a reading acknowledged {earliest_ms} ms before the crash is lost")
    return found


def accounted(stand: Stand) -> Found:
    """Streams were trimmed: acknowledged = counted + reported as lost, reading by reading."""
    ledger, said = stand.load.ledger, stand.status()
    outcomes = _readings_by_outcome(ledger)
    acknowledged, maybe = outcomes["ok"] + outcomes["dup"], outcomes["maybe"]
    devices = {sent.device for sent, _ in ledger.outcomes()}
    counted = _counted(stand, devices)
    gone = acknowledged - counted
    faults = []
    if not gone <= said.lost <= gone + maybe:
        faults.append(
            f"{acknowledged} acknowledged and {maybe} in doubt, {counted} counted, "
            f"but {said.lost} reported as lost"
        )
    stand.notes.append(f"reported as lost {said.lost}")
    return Found(
        acknowledged, max(0, gone), max(0, -gone - maybe), maybe, outcomes["refused"], faults
    )


def refused_not_lost(stand: Stand) -> Found:
    """A full backlog is refused: nothing that was acknowledged is trimmed."""
    found = accounted(stand)
    if found.lost:
        found.faults.append(f"{found.lost} acknowledged readings were trimmed unread")
    return found


def _by_streams(stand: Stand, *, may_lose: bool) -> Found:
    client = direct(stand)
    try:
        verdict = verify(stand.load.ledger, client, stand.settings)
    finally:
        client.close()
    faults = list(verdict.miscounted)
    if verdict.lost and not may_lose:
        faults.append(f"{verdict.lost} acknowledged readings are not stored")
    if verdict.duplicated:
        faults.append(f"{verdict.duplicated} readings are stored more than once")
    if verdict.unexpected:
        faults.append(f"{verdict.unexpected} readings are stored that were refused")
    said = stand.status()
    if said.lost and not may_lose:
        faults.append(f"{said.lost} readings are reported as lost")
    in_doubt = verdict.indeterminate + verdict.recovered
    return Found(
        verdict.acknowledged,
        verdict.lost + verdict.uncounted,
        verdict.duplicated + verdict.overcounted,
        in_doubt,
        verdict.refused,
        faults,
    )


def _readings_by_outcome(ledger: Ledger) -> dict[str, int]:
    found = dict.fromkeys(("ok", "dup", "maybe", "refused"), 0)
    for sent, outcome in ledger.outcomes():
        found[outcome] += len(sent.numbers)
    return found


def _counted(stand: Stand, devices: set[str]) -> int:
    layout = Layout(stand.settings.parsed_windows, stand.settings.average_over)
    total = 0
    for device in devices:
        partition = keys.partition_of(device, stand.settings.partitions)
        packed: Any = stand.client.hget(keys.state(partition), keys.series(device, METRIC))
        if packed is not None:
            total += int(np.frombuffer(packed, layout.state)[0]["count"])
    return total


def _earliest_loss_ms(stand: Stand) -> int:
    """How long before the crash that took it the oldest lost reading was acknowledged."""
    kept = _stored_pairs(stand)
    sent: dict[int, Sent] = {}
    oldest_ms = 0
    for line in stand.load.ledger.path.read_text().splitlines():
        number, what, *rest = json.loads(line)
        if what == "sent":
            sent[number] = Sent(*rest)
        elif what in {"ok", "dup"}:
            request = sent[number]
            if any((request.device, n) not in kept for n in request.numbers):
                crash_ms = next((at for at in stand.crashes_ms if at + _SLACK_MS >= rest[0]), 0)
                oldest_ms = max(oldest_ms, crash_ms - rest[0] if crash_ms else 1 << 40)
    return oldest_ms


def _stored_pairs(stand: Stand) -> set[tuple[str, int]]:
    client = direct(stand)
    try:
        return {(d, int(v)) for d, values in stored(client, stand.settings).items() for v in values}
    finally:
        client.close()
