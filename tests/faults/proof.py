"""The long run: how often each fault must have been survived before it is claimed."""

from __future__ import annotations

from typing import NamedTuple

from faults.fault_catalogue import Fault, find
from faults.rig import Needs

# A larger fleet: while one starts, others die.
_FLEET = Needs(aggregators=4)
_READABLE = Needs(pause_s=0.02)  # few readings, since each server start reads them all


class Claim(NamedTuple):
    """A fault and how often."""

    fault: Fault
    times: int


CLAIMS = (
    Claim(find("F1")._replace(needs=_FLEET), 1000),
    Claim(find("F3"), 200),
    Claim(find("F6")._replace(needs=_READABLE), 100),
    Claim(find("F11"), 10_000),
    Claim(find("F5"), 100),
    Claim(find("F25"), 50),
)
