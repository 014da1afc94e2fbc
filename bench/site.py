"""Every HTTP route on one event loop: live beside Flask, under uvicorn, without the lane.

uvicorn --factory bench.site:create_app
"""

from __future__ import annotations

from typing import Any, cast

from a2wsgi import WSGIMiddleware

import api.app
import ingest.app
from api import dashboard
from api.live import Hub, Live, mount
from api.live.stream import by
from tributary import connection, log, settings, web
from tributary.guard import Guard


def create_app() -> mount.App:
    """The application, with its settings from the environment."""
    loaded = settings.load()
    log.configure(loaded, "web")
    connection.wait_and_prepare(loaded)
    client = connection.connect(loaded)
    guard = Guard(loaded, client)
    flask = web.make_app(
        __name__,
        ingest.app.blueprint(loaded, client, guard),
        api.app.blueprint(loaded, client, guard),
        dashboard.blueprint(loaded, client, guard),
        mount.blueprint(),
        web.health([connection.readiness(client, writes=True)]),
    )
    behind = WSGIMiddleware(cast(Any, flask), workers=loaded.http_threads)
    return mount.beside(Live(Hub(loaded), by(guard)), cast(mount.App, behind))
