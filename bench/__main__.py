"""`scripts/bench NAME [options]`."""

from __future__ import annotations

import signal
import sys

import click

from bench import (
    bench_alerts,
    bench_bombs,
    bench_capacity,
    bench_collect,
    bench_commits,
    bench_durability,
    bench_export,
    bench_fold,
    bench_forget,
    bench_framing,
    bench_freshness,
    bench_history,
    bench_history_cost,
    bench_history_load,
    bench_ingest,
    bench_jobs,
    bench_joining,
    bench_line_protocol,
    bench_list,
    bench_live,
    bench_memory,
    bench_mqtt,
    bench_page,
    bench_primaries,
    bench_quantiles,
    bench_rank_errors,
    bench_restart,
    bench_sensor_logger,
    bench_slowloris,
    bench_sustained,
    bench_webhooks,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def bench() -> None:
    """Measure Tributary on this machine."""
    # Exit regularly, so that the servers of the benchmark are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


for module in (
    bench_history_load, bench_history_cost,
    bench_ingest, bench_collect, bench_freshness, bench_slowloris, bench_bombs, bench_fold,
    bench_framing, bench_memory, bench_quantiles, bench_rank_errors, bench_live, bench_page, bench_list, bench_sustained, bench_primaries,
    bench_joining, bench_durability, bench_commits, bench_sensor_logger, bench_line_protocol,
    bench_restart, bench_mqtt, bench_alerts, bench_webhooks, bench_export, bench_forget, bench_jobs, bench_history, bench_capacity,
):  # fmt: skip
    bench.add_command(module.command)
bench(prog_name="scripts/bench")
