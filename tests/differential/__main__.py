"""Compare the lane and plain Flask by hand; see scripts/differential."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from differential.pair import Difference, Pair


def main() -> int:
    """Print every kind of difference once; 1 if there is any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--requests", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tributary-differential-") as folder:
        pair = Pair(Path(folder))
        try:
            begun_s = time.monotonic()
            found = pair.compare(given.seed, given.requests)
            took_s = time.monotonic() - begun_s
            _show(found)
            lane, flask = pair.totals()
        finally:
            pair.close()
    print(f"{given.requests} requests to each in {took_s:.1f} s, {dict(pair.statuses)}")
    print(f"{len(found)} answered differently; the same is stored: {lane == flask}")
    return 1 if found or lane != flask else 0


def _show(found: list[Difference]) -> None:
    kinds = defaultdict(list)
    for difference in found:
        kinds[difference.lane.status, difference.flask.status].append(difference)
    for statuses, several in kinds.items():
        print(f"--- {len(several)} times {statuses}")
        for difference in {d.request.label: d for d in several}.values():
            print(difference)


if __name__ == "__main__":
    sys.exit(main())
