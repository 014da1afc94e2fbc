"""`scripts/bench NAME [options]`."""

from __future__ import annotations

import click

from bench import collect, freshness, ingest


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def bench() -> None:
    """Measure Tributary on this machine."""


for command in (ingest.command, collect.command, freshness.command):
    bench.add_command(command)
bench(prog_name="scripts/bench")
