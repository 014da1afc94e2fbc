"""bandit over the packages: fails for every finding that no comment in the code explains.

ruff has most of the rules of bandit, with S for B, and its `noqa` comments name the reasons. A
finding is accepted on a line with such a comment for the same rule, so that no line needs two;
where ruff finds nothing, `nosec` accepts it. `tool.bandit` in pyproject.toml has what is skipped
everywhere.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("tributary", "ingest", "aggregator", "bridge", "api", "jobs")
_NOQA = re.compile(r"# noqa: ([A-Z0-9, ]+)")


def findings(*paths: str) -> list[str]:
    """What bandit finds in these files and folders and nothing explains."""
    command = ["-m", "bandit", "-q", "-r", "-c", str(ROOT / "pyproject.toml"), "-f", "json"]
    done = subprocess.run(
        [sys.executable, *command, *paths], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"bandit failed: {done.stderr}")
    found = json.loads(done.stdout)
    errors = [f"{each['filename']}: {each['reason']}" for each in found["errors"]]
    return errors + [
        f"{each['filename']}:{each['line_number']}: {each['test_id']} {each['issue_text']}"
        for each in found["results"]
        if not _is_explained(each)
    ]


def _is_explained(finding: dict[str, Any]) -> bool:
    lines = (ROOT / finding["filename"]).read_text().splitlines()
    first, last = finding["line_range"][0], finding["line_range"][-1]
    rule = finding["test_id"].replace("B", "S", 1)
    noted = _NOQA.findall("\n".join(lines[first - 1 : last]))
    return any(rule in codes.replace(",", " ").split() for codes in noted)


if __name__ == "__main__":
    found = findings(*PACKAGES)
    print(*found or ["bandit: no unexplained findings"], sep="\n")
    raise SystemExit(1 if found else 0)
