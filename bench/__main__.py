"""`scripts/bench NAME [options]`."""

from __future__ import annotations

import signal
import sys

import click

from bench import (
    bench_bombs,
    bench_collect,
    bench_durability,
    bench_fold,
    bench_framing,
    bench_freshness,
    bench_ingest,
    bench_joining,
    bench_live,
    bench_memory,
    bench_page,
    bench_quantiles,
    bench_slowloris,
    bench_sustained,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def bench() -> None:
    """Measure Tributary on this machine."""
    # An exit, so that the servers that were started are stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


for command in (
    bench_ingest.command,
    bench_collect.command,
    bench_freshness.command,
    bench_slowloris.command,
    bench_bombs.command,
    bench_fold.command,
    bench_framing.command,
    bench_memory.command,
    bench_quantiles.command,
    bench_live.command,
    bench_page.command,
    bench_sustained.command,
    bench_joining.command,
    bench_durability.command,
):
    bench.add_command(command)
bench(prog_name="scripts/bench")
