"""A program that records numbered readings into a spool until it is stopped: URL, FILE.

The number is the count of what was recorded before, which is part of the same transaction as the
reading: so a program that is killed continues without a gap or a repetition.
"""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType

from tributary.client import Tributary

DEVICES = ("spool/a", "spool/b", "spool/c")
METRIC = "seq"
_PAUSE_S = 0.005


def main(url: str, path: str) -> None:
    """Record until SIGTERM."""
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    with Tributary(url) as tributary, tributary.spool(path) as spool:
        number = spool.spooled.recorded
        while not stopping.wait(_PAUSE_S):
            spool.record({"device": DEVICES[number % len(DEVICES)], METRIC: number})
            number += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
