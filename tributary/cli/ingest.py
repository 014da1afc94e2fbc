"""`tributary ingest`: the ingest role in the foreground."""

from __future__ import annotations

from typing import Any

import click

from tributary import log, serve
from tributary.cli import options


@click.command(
    "ingest", epilog="Example: tributary ingest --port 8001 --redis-url redis://redis:6379/0"
)
@options.of_role("ingest")
def command(**given: Any) -> None:
    """Serve the ingest role over HTTP until SIGTERM."""
    from ingest.app import create_app
    from ingest.recorder import attach

    settings = options.load(given)
    log.configure(settings, "ingest")
    listener = serve.listen(settings.host, settings.port)
    serve.serve(settings, create_app, (attach,), listener.detach())
