"""Runs the jobs `archive` and `forget` until the process reaches its failpoint."""

from __future__ import annotations

import sys

from jobs import archive
from jobs.forget import job
from tributary import failpoints, settings
from tributary.errors import TributaryError

if __name__ == "__main__":
    loaded = settings.load()
    failpoints.arm(loaded.fail)
    while True:
        try:
            for partition in range(loaded.partitions):
                archive.run(loaded, partition)
            job.run(loaded)
        except TributaryError as error:  # Redis is killed, or another process does the same
            sys.stdout.write(f"{error}\n")
            sys.stdout.flush()
