"""Polls `/collect` until it agrees with the ledger for every device, or a timeout."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from tributary.client import Tributary
from tributary.errors import Refused
from tributary.simulate.ledger import Difference, Ledger

_PAUSE_S = 0.1


class Verdict(NamedTuple):
    """The last response of `/collect` for a device, and its differences from the ledger."""

    device: str
    collected: dict[str, Any] | None
    differences: list[Difference]


def known(client: Tributary, devices: Iterable[str]) -> set[str]:
    """The devices that the server has readings of."""
    return {device for device in devices if _collect(client, device) is not None}


def check(
    client: Tributary, ledger: Ledger, timeout_s: float, on_progress: Callable[[int], None]
) -> list[Verdict]:
    """The verdict on every device of the ledger that is not uncertain.

    `timeout_s` is for the aggregators; `on_progress` gets the number of devices that agree.
    """
    deadline_s = time.monotonic() + timeout_s
    certain = (device for device in ledger.devices if device not in ledger.uncertain)
    waiting = sorted(certain, key=lambda device: (len(device), device))  # car-2 before car-10
    verdicts: dict[str, Verdict] = {}
    while waiting:
        for device in waiting:
            collected = _collect(client, device)
            verdicts[device] = Verdict(device, collected, ledger.differences(device, collected))
        waiting = [device for device in waiting if verdicts[device].differences]
        on_progress(len(verdicts) - len(waiting))
        if time.monotonic() > deadline_s:
            break
        if waiting:
            time.sleep(_PAUSE_S)
    return list(verdicts.values())


def _collect(client: Tributary, device: str) -> dict[str, Any] | None:
    try:
        return client.collect(device)
    except Refused as refusal:
        if refusal.code != "unknown_device":
            raise
        return None
