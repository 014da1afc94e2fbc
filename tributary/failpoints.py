"""Named points in the code at which a test can kill the process, like a power cut.

`TRIBUTARY_FAIL=after_fold:3` kills the process with SIGKILL when it reaches `after_fold` for
the third time. If none is armed, a point costs one comparison.
"""

from __future__ import annotations

import os
import signal

from tributary.errors import Misconfigured

POINTS = (
    "before_append",
    "after_append",
    "after_begin",
    "after_read",
    "after_load",
    "after_fold",
    "after_commit_sent",
    "after_commit",
    "after_forget_copy",
    "after_forget_erase",
    "after_forget_proof",
    "after_forget_marked",
    "after_forget_rewrite",
    "after_forget_report",
    "after_archive_read",
    "after_raw_file",
    "before_archive_commit",
    "after_archive_commit",
    "after_archive_published",
    "before_compact_commit",
    "after_compact_commit",
    "after_alert_sent",
)

_armed = ""
_left = 0


def arm(spec: str) -> None:
    """Arm the point of `spec` (`point` or `point:n`); an empty spec disarms.

    Raises:
        Misconfigured: the point does not exist, or n is not a number above 0.
    """
    global _armed, _left  # one process dies at one point
    point, _, count = spec.partition(":")
    if point and point not in POINTS:
        raise Misconfigured(f"fail={spec!r}: unknown failpoint; use one of {', '.join(POINTS)}")
    if count and not (count.isdecimal() and int(count) > 0):
        raise Misconfigured(f"fail={spec!r}: the part after ':' must be a positive integer")
    _armed, _left = point, int(count or 1)


def reach(point: str) -> None:
    """Kill the process if this point is armed and has been reached for the n-th time."""
    global _left
    if point != _armed:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
