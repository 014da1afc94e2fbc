"""The ingest role over Flask: complete by itself; the lane only makes it faster."""

from __future__ import annotations

import time
from typing import Any

import redis
from flask import Blueprint, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from ingest.admission import Intake
from ingest.doors import record
from ingest.series import Lookup
from tributary.auth.guard import Guard
from tributary.errors import TributaryError
from tributary.http import flask_app
from tributary.settings import Settings
from tributary.store import redis_client, stream
from tributary.store.stream import Appending


def blueprint(settings: Settings, guard: Guard) -> Blueprint:
    """`POST /record`."""
    routes = Blueprint("ingest", __name__)
    intake = Intake(settings, guard)
    appending = Appending(settings)
    client = redis_client.connect(settings, greet=appending.tail.report_on)

    @routes.post("/record")
    def post_record() -> Response:
        body = _body(settings.body_max_bytes)
        now_ms = time.time_ns() // 1_000_000
        taken = intake.take(body, flask_app.request_headers(), request.query_string, now_ms)
        try:
            if taken.lookup is not None:
                taken = intake.settle(taken, _ask(client, taken.lookup))
            frames = record.frames(taken.accepted)
            before = stream.append(client, appending, frames, taken.once) if frames else None
        except TributaryError as error:
            intake.forget(taken.joined, error)
            raise
        return flask_app.json_response(taken.answer if before is None else record.duplicate(before))

    return routes


def _ask(client: redis.Redis, lookup: Lookup) -> list[Any]:
    with redis_client.failures():
        pipeline = client.pipeline(transaction=False)
        for _, command in lookup.commands():
            pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
        return pipeline.execute()


def _body(max_bytes: int) -> bytes:
    # One more than allowed: at its limit Werkzeug cuts a chunked body off, and says nothing.
    request.max_content_length = max_bytes + 1
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise record.too_large(request.content_length, max_bytes) from None
    if len(body) > max_bytes:
        raise record.too_large(request.content_length, max_bytes)
    return body
