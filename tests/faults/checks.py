"""Checks after a run: compare the ledger with what is stored and counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from support import folding
from support.ledger import METRIC, Ledger, Sent, stored, verify

from faults.rig import Rig, direct_client
from tributary.model.aggregate import Layout
from tributary.store import keys

_EVERYSEC_LOSS_MS = 2_000  # what a machine crash may lose with `appendfsync everysec`
_SLACK_MS = 500  # between Redis's reply and the line in the ledger


class Findings(NamedTuple):
    """Readings by outcome, in Jepsen's terms."""

    acknowledged: int
    lost: int
    duplicated: int
    indeterminate: int  # no response; counted once or not at all
    refused: int
    violations: list[str]  # of the durability guarantee; empty: it holds


Check = Callable[[Rig], Findings]


def exactly_once(rig: Rig) -> Findings:
    """Every acknowledged reading is stored and counted once, and no other is."""
    return _by_streams(rig, may_lose=False)


def at_most_once(rig: Rig) -> Findings:
    """The fault deletes readings on purpose; the rest is counted once."""
    return _by_streams(rig, may_lose=True)


def lost_within_everysec(rig: Rig) -> Findings:
    """Lost readings were acknowledged in the last two seconds before a crash."""
    findings = _by_streams(rig, may_lose=True)
    earliest_ms = _earliest_loss_ms(rig)
    rig.notes.append(f"oldest loss {earliest_ms} ms before the crash")
    if earliest_ms > _EVERYSEC_LOSS_MS + _SLACK_MS:
        findings.violations.append(
            f"a reading acknowledged {earliest_ms} ms before the crash is lost"
        )
    return findings


def all_losses_reported(rig: Rig) -> Findings:
    """The fault trims streams: acknowledged = counted + reported as lost."""
    ledger, reported_lost = rig.load.ledger, rig.status().lost
    outcomes = _readings_by_outcome(ledger)
    acknowledged, maybe = outcomes["ok"] + outcomes["dup"], outcomes["maybe"]
    devices = {sent.device for sent, _ in ledger.outcomes()}
    counted = _counted(rig, devices)
    missing = acknowledged - counted
    violations = []
    if not missing <= reported_lost <= missing + maybe:
        violations.append(
            f"{acknowledged} acknowledged and {maybe} indeterminate, {counted} counted, "
            f"but {reported_lost} reported as lost"
        )
    rig.notes.append(f"reported as lost {reported_lost}")
    return Findings(
        acknowledged,
        max(0, missing),
        max(0, -missing - maybe),
        maybe,
        outcomes["refused"],
        violations,
    )


def refused_but_not_lost(rig: Rig) -> Findings:
    """A full backlog refuses readings and trims no acknowledged ones."""
    findings = all_losses_reported(rig)
    if findings.lost:
        findings.violations.append(f"{findings.lost} acknowledged readings were trimmed unread")
    return findings


def _by_streams(rig: Rig, *, may_lose: bool) -> Findings:
    client = direct_client(rig)
    try:
        verdict = verify(rig.load.ledger, client, rig.settings)
    finally:
        client.close()
    violations = list(verdict.miscounted)
    if verdict.lost and not may_lose:
        violations.append(f"{verdict.lost} acknowledged readings are not stored")
    if verdict.duplicated:
        violations.append(f"{verdict.duplicated} readings are stored more than once")
    if verdict.unexpected:
        violations.append(f"{verdict.unexpected} refused readings are stored")
    reported_lost = rig.status().lost
    if reported_lost and not may_lose:
        violations.append(f"{reported_lost} readings are reported as lost")
    return Findings(
        verdict.acknowledged,
        verdict.lost + verdict.uncounted,
        verdict.duplicated + verdict.overcounted,
        verdict.indeterminate + verdict.recovered,
        verdict.refused,
        violations,
    )


def _readings_by_outcome(ledger: Ledger) -> dict[str, int]:
    found = dict.fromkeys(("ok", "dup", "maybe", "refused"), 0)
    for sent, outcome in ledger.outcomes():
        found[outcome] += len(sent.numbers)
    return found


def _counted(rig: Rig, devices: set[str]) -> int:
    layout = Layout(rig.settings.parsed_windows, rig.settings.average_over)
    total = 0
    for device in devices:
        partition = keys.partition_of(device, rig.settings.partitions)
        (found,) = folding.packed(rig.client, rig.settings, partition, [(device, METRIC)])
        packed = found.state
        if packed is not None:
            total += int(np.frombuffer(packed, layout.state)[0]["count"])
    return total


def _earliest_loss_ms(rig: Rig) -> int:
    """How long before the crash the oldest lost reading was acknowledged."""
    kept = _stored_pairs(rig)
    sent: dict[int, Sent] = {}
    oldest_ms = 0
    for line in rig.load.ledger.path.read_text().splitlines():
        number, what, *rest = json.loads(line)
        if what == "sent":
            sent[number] = Sent(*rest)
        elif what in {"ok", "dup"}:
            request = sent[number]
            if any((request.device, n) not in kept for n in request.numbers):
                crash_ms = next((at for at in rig.crashes_ms if at + _SLACK_MS >= rest[0]), 0)
                oldest_ms = max(oldest_ms, crash_ms - rest[0] if crash_ms else 1 << 40)
    return oldest_ms


def _stored_pairs(rig: Rig) -> set[tuple[str, int]]:
    client = direct_client(rig)
    try:
        return {(d, int(v)) for d, values in stored(client, rig.settings).items() for v in values}
    finally:
        client.close()
