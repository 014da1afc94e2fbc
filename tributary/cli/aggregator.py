"""`tributary aggregator`: one worker in the foreground."""

from __future__ import annotations

from typing import Any

import click

from tributary import log
from tributary.cli import options


@click.command(
    "aggregator", epilog="Example: tributary aggregator --redis-url redis://redis:6379/0"
)
@options.of_role("aggregator")
def command(**given: Any) -> None:
    """Aggregate until SIGTERM. Start as many as you like: they share the partitions."""
    from aggregator.run import run

    settings = options.load(given)
    log.configure(settings, "aggregator")
    run(settings)
