"""`scripts/bench NAME [options]`."""

from __future__ import annotations

import click

from bench import freshness


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def bench() -> None:
    """Measure Tributary on this machine."""


bench.add_command(freshness.command)
bench(prog_name="scripts/bench")
