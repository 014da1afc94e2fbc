"""The ingest role on Flask: complete by itself; the lane only makes it faster."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

import flask
import msgspec
import redis
from flask import Blueprint, request
from werkzeug.exceptions import MethodNotAllowed, RequestEntityTooLarge

from ingest.accepted import Accepted
from ingest.admission import Admission, query_parser
from ingest.doors import DOORS
from ingest.doors.door import Door, Query
from ingest.series import Lookup
from tributary.auth.guard import Guard, RequestHeaders
from tributary.errors import Refused, TributaryError
from tributary.http import flask_app
from tributary.http.lane import framing
from tributary.http.response import Response
from tributary.settings import Settings
from tributary.store import redis_client, stream
from tributary.store.stream import Appender


class _Request(msgspec.Struct):
    """Flask's current request, as a door sees it."""

    head: RequestHeaders
    query: Query
    body: bytes


def blueprint(settings: Settings, guard: Guard, doors: Iterable[Door] = DOORS) -> Blueprint:
    """The routes of every door."""
    routes = Blueprint("ingest", __name__)
    recorder = _Recorder(settings, guard)
    for door in doors:
        for mount in door.mounts:
            routes.add_url_rule(
                re.sub(r"\{(\w+)\}", r"<\1>", mount.path),
                f"{'+'.join(mount.methods)} {mount.path}".replace(".", "_"),  # any unique name
                partial(recorder.respond, door, mount.methods),
                methods=mount.methods,
            )
    return routes


class _Recorder:
    """Records requests one at a time, on the thread of each."""

    def __init__(self, settings: Settings, guard: Guard) -> None:
        self._body_max_bytes = settings.body_max_bytes
        self._admission = Admission(settings, guard)
        self._accepted = Accepted(guard)
        self._appender = Appender(settings)
        self._client = redis_client.connect(settings, handshake=self._appender.tail.report_on)

    def respond(self, door: Door, methods: tuple[str, ...], **params: str) -> flask.Response:
        """The response of a door to Flask's current request."""
        if request.method not in methods:  # HEAD, which Flask adds to GET
            raise MethodNotAllowed(methods)
        try:
            response = self._record(door, params)
            self._accepted.add(door)
        except TributaryError as error:
            response = door.error(flask_app.http_error(error, door.name))
        sent = flask.Response(
            response.body, response.status, response.headers, content_type=response.content_type
        )
        if response.status == 204:
            del sent.headers["Content-Type"]
        return sent

    def _record(self, door: Door, params: dict[str, str]) -> Response:
        query = query_parser(request.query_string, **params)
        body = _body(self._body_max_bytes)
        arrived = _Request(flask_app.request_headers(), query, body)
        admitted = self._admission.admit(door, arrived, time.time_ns() // 1_000_000)
        try:
            if admitted.lookup is not None:
                replies = _execute(self._client, admitted.lookup)
                admitted = self._admission.settle(door, admitted, replies)
            frames = admitted.batch.frames()
            if not frames:
                return admitted.response
            first = stream.append(self._client, self._appender, frames, admitted.idempotency)
        except TributaryError as error:
            self._admission.forget(admitted.new_series, error)
            raise
        return admitted.response if first is None else door.duplicate(first)


def _execute(client: redis.Redis, lookup: Lookup) -> list[Any]:
    with redis_client.failures():
        pipeline = client.pipeline(transaction=False)
        for _, command in lookup.commands():
            pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
        return pipeline.execute()


def _body(max_bytes: int) -> bytes:
    # One more than allowed: at its limit Werkzeug truncates a chunked body silently.
    request.max_content_length = max_bytes + 1
    try:
        body: bytes | None = request.get_data(cache=False)
    except RequestEntityTooLarge:
        body = None
    if body is None or len(body) > max_bytes:
        rejection = framing.too_large(request.content_length, max_bytes)
        raise Refused(rejection.message, status=rejection.status, code=rejection.code)
    return body
