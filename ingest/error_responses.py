"""The error responses of doors on the lane, with the id of the request."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from operator import itemgetter

from ingest.doors.door import Door
from ingest.tick import Arrived
from tributary.auth.refusals import REFUSALS
from tributary.http import flask_app, request_id
from tributary.http.flask_app import HttpError
from tributary.http.lane.head import Rejection
from tributary.http.lane.request import Request
from tributary.http.response import Response


class ErrorResponses:
    """Responds to requests that failed; each is counted, and logged if that is unexpected."""

    def __init__(self, render: Callable[[Response], bytes]) -> None:
        self._render = render

    def too_large(self, door: Door, rejection: Rejection) -> bytes:
        """The response of a door to a body over the limit, with which the connection ends."""
        error = HttpError(rejection.status, rejection.code, rejection.message)
        REFUSALS.note(error.status, error.code, door.name, error.message)
        return self._bytes(door, error, request_id.new(), ("Connection", "close"))

    def respond(self, door: Door, request: Request, error: Exception) -> None:
        """Respond to a request."""
        with request_id.logged(request_id.given_in(request.head) or request_id.new()) as id_:
            converted = flask_app.http_error(error, door.name)
        request.respond(self._bytes(door, converted, id_))

    def respond_all(self, arrived: list[Arrived], error: Exception) -> None:
        """Respond to requests that failed together; those that sent no id share one."""
        for door, group in itertools.groupby(arrived, key=itemgetter(0)):
            requests = [request for _, request in group]
            with request_id.logged(request_id.new()) as id_:
                converted = flask_app.http_error(error, door.name, len(requests))
            shared = self._bytes(door, converted, id_)
            for request in requests:
                own = request_id.given_in(request.head)
                request.respond(shared if own is None else self._bytes(door, converted, own))

    def _bytes(self, door: Door, error: HttpError, id_: str, *more: tuple[str, str]) -> bytes:
        response = door.error(error)
        headers = (*response.headers, *more, (request_id.HEADER, id_))
        return self._render(response._replace(headers=headers))
