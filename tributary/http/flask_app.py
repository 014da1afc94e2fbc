"""The parts of every Flask app: JSON responses and errors, health, tokens, CORS."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from flask import Blueprint, Flask, Response, current_app, g, request
from gunicorn.http.errors import NoMoreData, ParseException
from loguru import logger
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from tributary.auth import cors
from tributary.auth.guard import Guard, RequestHeaders
from tributary.auth.refusals import API, HTTP, REFUSALS
from tributary.auth.tokens import Scope, Token
from tributary.errors import NotPermitted, Overloaded, Refused, Unavailable
from tributary.http import hints, request_id
from tributary.http.error_body import error_body
from tributary.http.lane import framing
from tributary.log import REQUEST_ID
from tributary.settings import Settings
from tributary.store.outage import Outage

Check = Callable[[], str | None]  # returns why the app is not ready, or None

_CHECKS = "tributary.checks"  # where an app keeps its checks
_PERMISSIONS = Outage("redis (permissions)")
_encode = msgspec.json.Encoder().encode


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON response; a body of bytes is sent as it is."""
    content = body if isinstance(body, bytes) else _encode(body)
    return Response(content, status, headers, mimetype="application/json")


def request_headers() -> RequestHeaders:
    """The header fields of the current request."""
    fields = request.headers
    return RequestHeaders(
        fields.get("Authorization", ""),
        fields.get("Content-Type", ""),
        fields.get("Content-Encoding", "identity").lower(),
        fields.get("Idempotency-Key"),
        host=fields.get("Host"),
        origin=fields.get("Origin"),
        fetch_site=fields.get("Sec-Fetch-Site"),
        find=fields.get,
    )


def require_scope(guard: Guard, scope: Scope, *, writes: bool = False) -> Callable[[], None]:
    """A `before_request` that authenticates a request and stores its token in `g.token`.

    `writes`: whether the methods other than GET change stored data.
    """

    def authenticate() -> None:
        if request.method == "OPTIONS":  # a preflight has no token
            g.token = None
            return
        is_write = writes and request.method not in ("GET", "HEAD")
        g.token = guard.admit(request_headers(), writes=is_write)
        if g.token is not None:
            g.token.check(scope)

    return authenticate


def make_app(name: str, *blueprints: Blueprint) -> Flask:
    """A Flask app of these blueprints that responds to every error in JSON."""
    app = Flask(name, static_folder=None)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # a device may be called a//b
    app.before_request(_begin)
    app.teardown_request(_end)
    app.register_error_handler(HTTPException, _http_error)
    for unreadable in (ParseException, NoMoreData):
        app.register_error_handler(unreadable, _unreadable_body)
    app.register_error_handler(Exception, _on_error)
    app.after_request(_finish_headers)
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    return app


def health(checks: list[Check]) -> Blueprint:
    """`/healthz`: the process is up. `/readyz`: it can serve, or the reason why it cannot."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/healthz")
    def healthz() -> Response:
        return json_response({"healthy": True})

    @blueprint.get("/readyz")
    def readyz() -> Response:
        for check in current_app.extensions[_CHECKS]:
            reason = check()
            if reason is not None:  # later checks mostly fail for the same reason
                return json_response(
                    {"ready": False, "reasons": [reason]}, 503, {"Retry-After": "1"}
                )
        _PERMISSIONS.end()
        return json_response({"ready": True})

    blueprint.record_once(lambda state: state.app.extensions.update({_CHECKS: [*checks]}))
    return blueprint


def add_check(app: Flask, check: Check) -> None:
    """Add a check to `/readyz` of an app with the blueprint `health`."""
    app.extensions[_CHECKS].append(check)


def cors_headers(settings: Settings) -> Blueprint:
    """Add the CORS header fields for the origins in the settings to every response."""
    origins = cors.parse_origins(settings.cors_origins)
    blueprint = Blueprint("cors", __name__)

    @blueprint.after_app_request
    def add_headers(response: Response) -> Response:
        origin = request.headers.get("Origin")
        response.headers.extend(cors.headers(origins, origin, request.method))
        return response

    return blueprint


def browser_checks(guard: Guard) -> Blueprint:
    """Check the requests of browsers on every route, also where no token is required."""
    blueprint = Blueprint("browsers", __name__)

    @blueprint.before_app_request
    def check() -> None:
        guard.check_browser(request_headers(), writes=False)

    return blueprint


def body_limit(max_bytes: int, doors: str) -> Blueprint:
    """Reject larger bodies on every route, as the lane does, before paths and methods are looked at.

    The routes of the blueprint `doors` reject them with their own error body.
    """
    blueprint = Blueprint("body_limit", __name__)

    @blueprint.before_app_request
    def check() -> None:
        size_bytes = request.content_length or 0
        if size_bytes > max_bytes and request.blueprint != doors:
            rejection = framing.too_large(size_bytes, max_bytes)
            raise Refused(rejection.message, status=rejection.status, code=rejection.code)

    return blueprint


class ConcurrencyLimit:
    """At most `at_once_max` concurrent requests of a kind in this process, half of that per token.

    Flask routes share the threads of a process: without this, slow lists could occupy all of
    them, and the lists of one token could block those of all others.
    """

    def __init__(self, at_once_max: int, kind: str = "list requests") -> None:
        self._kind = kind
        self._at_once_max = at_once_max
        self._per_token_max = max(1, at_once_max // 2)
        self._running: Counter[str | None] = Counter()  # by token; None: in total
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def acquire(self, token: Token | None = None) -> Iterator[None]:
        """Count a request while it runs.

        Args:
            token: of the request; None: only the total limit applies.

        Raises:
            Overloaded: the limit in total, or of the token, is reached.
        """
        counted = [None] if token is None else [None, token.id]
        with self._lock:
            if self._running[None] >= self._at_once_max:
                raise Overloaded(f"too many concurrent {self._kind}")
            if token is not None and self._running[token.id] >= self._per_token_max:
                raise Overloaded(f"too many concurrent {self._kind} with this token")
            self._running.update(counted)
        try:
            yield
        finally:
            with self._lock:
                self._running.subtract(counted)
                self._running += Counter()  # keeps no zeros


class HttpError(msgspec.Struct, frozen=True):
    """An error as sent to a client."""

    status: int
    code: str
    message: str
    field: str | None = None
    index: int | None = None
    headers: dict[str, str] = {}

    @property
    def body(self) -> bytes:
        """The standard body."""
        return error_body(self.code, self.message, self.field, self.index)


def http_error(error: Exception, door: str = API, requests: int = 1) -> HttpError:
    """Convert the error of some requests at a door; it is counted, and logged if unexpected."""
    converted = _converted(error)
    REFUSALS.note(converted.status, converted.code, door, converted.message, requests)
    return converted


def _converted(error: Exception) -> HttpError:
    if isinstance(error, Refused):
        return HttpError(
            error.status, error.code, error.message, error.field, error.index, error.headers
        )
    if isinstance(error, NotPermitted):
        _PERMISSIONS.begin(error)
    if isinstance(error, Unavailable):
        headers = {"Retry-After": str(error.retry_after_s)}
        return HttpError(503, error.code, f"{error}; send it again later", headers=headers)
    error_id = secrets.token_hex(8)
    logger.bind(action="internal_error", error_id=error_id).opt(exception=error).error(
        "a request failed"
    )
    message = f"internal error {error_id}; report this id to the operator"
    return HttpError(500, "internal", message)


def to_response(error: Exception, door: str = API) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and header fields of an error."""
    converted = http_error(error, door)
    return converted.status, converted.body, converted.headers


def _on_error(error: Exception) -> Response:
    status, body, headers = to_response(error)
    return json_response(body, status, headers)


def _unreadable_body(error: Exception) -> Response:
    """400 for a body that is not HTTP: without the lane, gunicorn finds out when it is read."""
    message = f"the request is not HTTP: {error}"
    REFUSALS.note(400, "malformed_http", HTTP, message)
    return json_response(error_body("malformed_http", message), 400)


def _begin() -> None:
    REQUEST_ID.set(request_id.given(request.headers.get(request_id.HEADER)) or request_id.new())


def _end(_error: BaseException | None) -> None:
    REQUEST_ID.set("")  # the next request may run on this thread


def _finish_headers(response: Response) -> Response:
    response.headers.pop("Date", None)  # the server adds its own
    response.headers[request_id.HEADER] = REQUEST_ID.get()
    return response


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    code = error.name.lower().replace(" ", "_")
    headers = {k: v for k, v in error.get_headers() if k in ("Allow", "Retry-After")}
    message = _message(error)
    REFUSALS.note(status, code, HTTP, message)
    return json_response(error_body(code, message), status, headers)


def _message(error: HTTPException) -> str:
    """The message of an error that Flask has found."""
    paths = {rule.rule for rule in current_app.url_map.iter_rules() if not rule.arguments}
    if isinstance(error, NotFound):
        return hints.unknown_path(request.path, paths)
    if isinstance(error, MethodNotAllowed):
        return hints.wrong_method(request.method, request.path, error.valid_methods or (), paths)
    return error.description or error.name
