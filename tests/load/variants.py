"""Loads random files with known readings without a server.

`scripts/variants --count 300` prints how many were right, refused with the option that resolves
the doubt, wrong, or crashed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

from load.dialects import Case, generate
from support.datasets import CATALOGUE, NOW_MS

from tributary.errors import Misconfigured
from tributary.load import Options, content, rows, survey_all
from tributary.load.table import Lines


def judge(case: Case) -> tuple[str, str]:
    """`right`, `refused`, `wrong` or `crashed`, and the reason."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / case.name
        path.write_bytes(case.data)
        try:
            sources, _ = survey_all([path], Options(now_ms=NOW_MS, **case.options), CATALOGUE)
            found: dict[tuple[str, int, str], float] = {}
            for source in sources:
                for row in rows(source, Lines(content.lines(source.content))):
                    given = dict(row.reading or {})
                    device, time_ms = given.pop("device", ""), given.pop("recorded_at", 0)
                    found |= {(device, time_ms, metric): value for metric, value in given.items()}
        except Misconfigured as error:
            return ("refused" if "--" in str(error) else "wrong"), str(error)
        except Exception:
            return "crashed", traceback.format_exc()
    extra = [
        key for key in found if key not in case.truth or not _near(found[key], case.truth[key])
    ]
    lost = [key for key in case.truth if key not in found]
    if extra or lost:
        return (
            "wrong",
            f"extra {[(k, found[k], case.truth.get(k)) for k in extra[:2]]} lost {lost[:2]}",
        )
    return "right", ""


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-6 * max(1.0, abs(b))


def main() -> None:
    """Print the verdicts of `--count` files."""
    parser = argparse.ArgumentParser(description="Load random files with known readings.")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    given = parser.parse_args()
    counts: Counter[str] = Counter()
    for seed in range(given.first, given.first + given.count):
        case = generate(seed)
        verdict, reason = judge(case)
        counts[verdict] += 1
        if verdict in ("wrong", "crashed"):
            print(f"seed {seed}: {verdict}: {reason}\n    {case.dialect}")
    print(
        f"{given.count} files: right {counts['right']}, refused with the option "
        f"{counts['refused']}, wrong silently {counts['wrong']}, crashes {counts['crashed']}"
    )
    sys.exit(1 if counts["wrong"] or counts["crashed"] else 0)


if __name__ == "__main__":
    main()
