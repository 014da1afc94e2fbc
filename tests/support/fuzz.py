"""Generated requests to every route of the OpenAPI document, which every response must match.

schemathesis generates valid and invalid requests, and checks statuses, schemas, headers and
content types. The endless event stream is excluded.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import click

from support.processes import ROOT, Deployment

_ROUND_EXAMPLES = 250
_PHASES = "examples,coverage,fuzzing,stateful"
EXCLUDED = ("/api/v1/live",)
_CASES = re.compile(r"([\d,]+) generated")
_TESTS = ROOT / "tests"


class Outcome(NamedTuple):
    """The number of requests, and the output of schemathesis."""

    cases: int
    is_clean: bool
    text: str


def fuzz(url: str, examples: int, seed: int, *, phases: str = _PHASES) -> Outcome:
    """Send up to `examples` generated requests per operation, and those of the other phases."""
    excluded = [word for path in EXCLUDED for word in ("--exclude-path", path)]
    command = [
        *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
        *("--config-file", str(_TESTS / "fuzz" / "schemathesis.toml")),
        *("run", f"{url}/openapi.json", "--no-color", "--continue-on-failure"),
        *("--max-examples", str(examples), "--seed", str(seed), *excluded),
        *("--request-timeout", "10", "--phases", phases),
    ]
    environ = {"PYTHONPATH": str(_TESTS), "PATH": ""}
    with tempfile.TemporaryDirectory() as folder:  # it writes files to its working directory
        done = subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, check=False
        )
    text = done.stdout + done.stderr
    found = _CASES.search(text)
    return Outcome(int(found[1].replace(",", "")) if found else 0, done.returncode == 0, text)


@click.command()
@click.option("--cases", default=20_000, help="minimum number of requests", show_default=True)
@click.option("--seed", default=1, help="seed of the first round", show_default=True)
def main(cases: int, seed: int) -> None:
    """Send generated requests to every documented route, in rounds with one seed each."""
    made = 0
    with tempfile.TemporaryDirectory() as folder:
        up = Deployment(Path(folder))
        up.post("/record", [{"device": "car-7", "engine_temperature": 92.3, "speed": 72}])
        try:
            while made < cases:
                outcome = fuzz(up.url, _ROUND_EXAMPLES, seed)
                made += outcome.cases
                click.echo(f"seed {seed}: {outcome.cases} requests, {made} in total")
                if not outcome.is_clean or outcome.cases == 0:
                    raise click.ClickException(outcome.text)
                seed += 1
        finally:
            status = up.stop()
    faults = up.process.text.count("action=internal_error")
    click.echo(f"{made} requests, {faults} internal errors, exit status {status}")
    sys.exit(1 if faults or status else 0)


if __name__ == "__main__":
    main()
