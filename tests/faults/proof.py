"""The long run: how often a fault must be survived before docs/reliability.md claims it."""

from __future__ import annotations

from typing import NamedTuple

from faults.fault_catalogue import Fault, find
from faults.rig import RigOptions

# More aggregators, so that one can be killed while another starts.
_FOUR_AGGREGATORS = RigOptions(aggregators=4)
_SLOW_LOAD = RigOptions(pause_s=0.02)  # few readings, since each server start loads them all


class Claim(NamedTuple):
    """A fault and how often to inject it."""

    fault: Fault
    times: int


CLAIMS = (
    Claim(find("F1")._replace(options=_FOUR_AGGREGATORS), 1000),
    Claim(find("F3"), 200),
    Claim(find("F6")._replace(options=_SLOW_LOAD), 100),
    Claim(find("F11"), 10_000),
    Claim(find("F5"), 100),
    Claim(find("F25"), 50),
)
