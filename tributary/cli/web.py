"""`tributary web`, hidden: both HTTP roles on a socket that `tributary up` has opened."""

from __future__ import annotations

from typing import Any

import click
from flask import Flask

from tributary import log, serve
from tributary.auth.guard import Guard
from tributary.cli import options
from tributary.http import flask_app
from tributary.operate import metrics, readiness
from tributary.settings import Settings
from tributary.store import redis_client


@click.command("web", hidden=True)
@click.option("--listener-fd", type=int, required=True)
@options.of_role("web")
def command(listener_fd: int, **given: Any) -> None:
    """Serve record and collect on one inherited socket."""
    settings = options.load(given)
    log.configure(settings, "web")
    import api.collector
    import ingest.recorder

    serve.serve(settings, create_app, (ingest.recorder.attach, api.collector.attach), listener_fd)


def create_app(settings: Settings, guard: Guard) -> Flask:
    """One app with the routes of ingest and api."""
    import api.app
    import ingest.app

    client = redis_client.connect(settings)
    return flask_app.make_app(
        __name__,
        ingest.app.blueprint(settings, guard),
        api.app.blueprint(settings, client, guard),
        metrics.blueprint(client, settings, guard),
        flask_app.health(
            [
                readiness.check(
                    client, writes=True, level=settings.durability, partitions=settings.partitions
                ),
                readiness.check(client, writes=False, partitions=settings.partitions),
            ]
        ),
        flask_app.cors_headers(settings),
        flask_app.browser_checks(guard),
    )
