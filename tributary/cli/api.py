"""`tributary api`: the api role in the foreground."""

from __future__ import annotations

from typing import Any

import click

from tributary import log, serve
from tributary.cli import options


@click.command("api", epilog="Example: tributary api --port 8001 --redis-url redis://redis:6379/0")
@options.of_role("api")
def command(**given: Any) -> None:
    """Serve the api role over HTTP until SIGTERM."""
    from api.app import create_app
    from api.collector import attach

    settings = options.load(given)
    log.configure(settings, "api")
    listener = serve.listen(settings.host, settings.port)
    serve.serve(settings, create_app, (attach,), listener.detach())
