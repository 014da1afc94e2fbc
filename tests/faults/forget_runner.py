"""Runs the job `forget` again and again, until the process reaches its failpoint."""

from __future__ import annotations

import contextlib

from jobs.forget import job
from tributary import failpoints, settings
from tributary.errors import TributaryError

if __name__ == "__main__":
    loaded = settings.load()
    failpoints.arm(loaded.fail)
    while True:
        with contextlib.suppress(TributaryError):  # another process does the same
            job.run(loaded)
