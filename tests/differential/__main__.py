"""Send generated requests to the lane and to Flask, and compare the responses."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from differential.pair import Difference, Pair


def main() -> int:
    """Print each kind of difference once; return 1 if there is any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--requests", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tributary-differential-") as folder:
        pair = Pair(Path(folder))
        try:
            begun_s = time.monotonic()
            differences = pair.compare(given.seed, given.requests)
            took_s = time.monotonic() - begun_s
            _show(differences)
            lane, flask = pair.totals()
        finally:
            pair.close()
    print(f"{given.requests} requests to each in {took_s:.1f} s, {dict(pair.statuses)}")
    print(f"{len(differences)} different responses; stored data is equal: {lane == flask}")
    return 1 if differences or lane != flask else 0


def _show(differences: list[Difference]) -> None:
    kinds = defaultdict(list)
    for difference in differences:
        kinds[difference.lane.status, difference.flask.status].append(difference)
    for statuses, alike in kinds.items():
        print(f"--- {len(alike)} times {statuses}")
        for difference in {d.request.label: d for d in alike}.values():
            print(difference)


if __name__ == "__main__":
    sys.exit(main())
