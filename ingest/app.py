"""The ingest role over Flask: complete by itself; the lane only makes it faster.

Run it with `tributary ingest`, or any WSGI server: `gunicorn ingest.app:app`.
"""

from __future__ import annotations

import time
from typing import Any

import redis
from flask import Blueprint, Flask, Response, request

from ingest import record
from ingest.rules import Rules
from tributary import connection, faults, log, settings, stream, web
from tributary.errors import Refused
from tributary.settings import Settings


def blueprint(settings: Settings, client: redis.Redis) -> Blueprint:
    """`POST /record`."""
    routes = Blueprint("ingest", __name__)
    rules = Rules(settings)

    @routes.post("/record")
    def post_record() -> Response:
        arrived_ms = time.time_ns() // 1_000_000
        accepted = record.accept(
            _body(settings.body_max_bytes),
            request.headers.get("Content-Type", ""),
            arrived_ms,
            rules,
        )
        stream.append(client, record.frames(accepted), settings.stream_max_entries)
        return web.json_answer(record.answer(accepted))

    return routes


def create_app(settings: Settings) -> Flask:
    """The ingest role alone."""
    client = connection.connect(settings)
    ready = connection.readiness(client, writes=True)
    return web.make_app(__name__, blueprint(settings, client), web.health([ready]))


def _body(max_bytes: int) -> bytes:
    """The body of the request, no longer than allowed.

    Raises:
        Refused: 413 or 415.
    """
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise Refused(
            f"content encoding {encoding!r:.40} is not known; send it plain",
            status=415,
            code="unknown_content_encoding",
        )
    request.max_content_length = max_bytes
    return request.get_data(cache=False)


def __getattr__(name: str) -> Any:
    """`app`, made when a WSGI server first asks for it: nothing is read at import."""
    if name != "app":
        raise AttributeError(name)
    loaded = settings.load()
    log.configure(loaded, "ingest")
    faults.arm(loaded.fail)
    return create_app(loaded)
