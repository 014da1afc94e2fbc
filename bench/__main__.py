"""`scripts/bench NAME [options]`."""

from __future__ import annotations

import signal
import sys

import click

from bench import (
    bombs,
    collect,
    durability,
    fold,
    footprint,
    freshness,
    ingest,
    joining,
    live,
    page,
    quantiles,
    slowloris,
    sustained,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def bench() -> None:
    """Measure Tributary on this machine."""
    # An exit, so that the servers that were started are stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


for command in (
    ingest.command,
    collect.command,
    freshness.command,
    slowloris.command,
    bombs.command,
    fold.command,
    footprint.command,
    quantiles.command,
    live.command,
    page.command,
    sustained.command,
    joining.command,
    durability.command,
):
    bench.add_command(command)
bench(prog_name="scripts/bench")
