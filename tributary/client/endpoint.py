"""Requests to one server, with retries.

A request is retried when the server is unreachable or responds with 429, 502, 503 or 504, with
exponential backoff and jitter, honouring `Retry-After`, until a deadline.
"""

from __future__ import annotations

import random
import time
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import msgspec
import urllib3
from urllib3.util import Timeout, parse_url

from tributary.errors import Misconfigured, Refused, TributaryError, Unavailable

_TIMEOUT = Timeout(connect=5.0, read=15.0)
_STREAM_TIMEOUT = Timeout(connect=5.0, read=30.0)  # a server sends a heartbeat every ten seconds
_EVENT_STREAM = "text/event-stream"
_CONNECTIONS = 16
_NOT_IMPLEMENTED = 501
_RETRYABLE = frozenset((429, 502, 503, 504))
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
# Raised before a byte of the request is sent.
_NOT_CONNECTED = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)


class ServerError(TributaryError):
    """The response is not one of Tributary."""


class NotSent(Unavailable):
    """No connection to the server: the request has not reached it."""


class Reply(NamedTuple):
    """A response: `body` if it is a JSON object; `date_s` is the server's clock, in epoch seconds."""

    status: int
    body: dict[str, Any] | None
    code: str  # of the error body; empty if there is none
    message: str
    retry_after_s: float | None
    date_s: float | None


class Request(NamedTuple):
    """An idempotent HTTP request: a read, or a write with an `Idempotency-Key`."""

    method: str
    path: str
    body: bytes | None = None
    key: str | None = None
    fields: dict[str, str] | None = None


class Endpoint:
    """The URL of a deployment and a pool of connections to it. Thread-safe."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = _checked(url)
        if token is not None and not (token.isascii() and token.isprintable()):
            raise Misconfigured(
                "the token contains a line end or another character that no header field can "
                "contain; copy it again, without what is around it"
            )
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._pool = urllib3.PoolManager(maxsize=_CONNECTIONS, timeout=_TIMEOUT, retries=False)

    def request(self, request: Request, deadline_s: float) -> dict[str, Any]:
        """Send a request, at least once, and return the JSON object of the response.

        Args:
            request: the request.
            deadline_s: on the monotonic clock; no retry starts after it.

        Raises:
            Unavailable: no final response before the deadline.
            Refused: the server rejected the request.
            ServerError: the response is not one of Tributary.
        """
        attempt = 0
        while True:
            try:
                response = self._send(request)
            except urllib3.exceptions.HTTPError as error:
                problem, retry_after_s = _reason(error), None
            else:
                if response.status not in _RETRYABLE:
                    return self._result(response)
                problem, retry_after_s = _error(response)[1], _retry_after_s(response)
            wait_s = pause_s(attempt, retry_after_s)
            if time.monotonic() + wait_s > deadline_s:
                raise Unavailable(f"{self.url}: {problem}")
            time.sleep(wait_s)
            attempt += 1

    def attempt(self, request: Request) -> Reply:
        """Send a request once and return the response, whatever its status.

        Raises:
            NotSent: no connection could be made.
            Unavailable: no response; the server may have processed the request.
        """
        try:
            response = self._send(request)
        except _NOT_CONNECTED as error:
            raise NotSent(f"{self.url}: {_reason(error)}") from None
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"{self.url}: {_reason(error)}") from None
        error_body, message = _error(response)
        code = str(error_body.get("code", ""))
        date_s = _date_s(response.headers.get("Date", ""))
        return Reply(
            response.status, _object(response), code, message, _retry_after_s(response), date_s
        )

    def stream(
        self, path: str, fields: list[tuple[str, str]], last_event_id: str
    ) -> urllib3.BaseHTTPResponse:
        """Open an event stream, without retries; the caller reads and closes it.

        Raises:
            urllib3.exceptions.HTTPError: the connection failed.
            Unavailable: the server is temporarily unavailable.
            Refused: the server rejected the request.
            ServerError: the response is not one of Tributary.
        """
        resume = {"Last-Event-ID": last_event_id} if last_event_id else {}
        response = self._pool.request(
            "GET",
            self.url + path,
            headers={**self._headers, **resume, "Accept": _EVENT_STREAM},
            fields=fields,
            redirect=False,
            preload_content=False,
            timeout=_STREAM_TIMEOUT,
        )
        if response.status == 200 and response.headers.get("Content-Type") == _EVENT_STREAM:
            return response
        response.read(cache_content=True)
        if response.status in _RETRYABLE:
            raise Unavailable(_error(response)[1])
        self._result(response)
        raise ServerError(
            f"{self.url}: the response is not an event stream; is it a Tributary server?"
        )

    def close(self) -> None:
        """Close the connection pool."""
        self._pool.clear()

    def _send(self, request: Request) -> urllib3.BaseHTTPResponse:
        headers = dict(self._headers)
        if request.key is not None:
            headers["Idempotency-Key"] = request.key
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        return self._pool.request(
            request.method,
            self.url + request.path,
            body=request.body,
            headers=headers,
            fields=request.fields,
            redirect=False,
        )

    def _result(self, response: urllib3.BaseHTTPResponse) -> dict[str, Any]:
        if response.status == 200:
            body = _object(response)
            if body is not None:
                return body
        elif 400 <= response.status < 500 or response.status == _NOT_IMPLEMENTED:
            error, message = _error(response)
            raise Refused(
                message,
                status=response.status,
                code=str(error.get("code", response.status)),
                field=error.get("field"),
                index=error.get("index"),
            )
        raise ServerError(f"{self.url}: {_error(response)[1]}; is it a Tributary server?")


def pause_s(
    attempt: int, retry_after_s: float | None = None, longest_s: float = _LONGEST_PAUSE_S
) -> float:
    """Seconds to wait before the next attempt: `Retry-After`, or exponential backoff.

    Jitter keeps many clients from retrying at the same moment.
    """
    longest_s = min(longest_s, _FIRST_PAUSE_S * 2 ** min(attempt, 10))
    if retry_after_s is not None:
        return retry_after_s + random.uniform(0, longest_s / 2)  # noqa: S311 (not a secret)
    return random.uniform(longest_s / 2, longest_s)  # noqa: S311 (not a secret)


def _checked(url: str) -> str:
    remedy = "use a URL like http://127.0.0.1:8000"
    try:
        parts = parse_url(url)
    except urllib3.exceptions.LocationParseError:
        raise Misconfigured(f"url={url!r:.200} is not a URL; {remedy}") from None
    if parts.scheme not in ("http", "https") or not parts.host:
        raise Misconfigured(f"url={url!r:.200} does not begin with http:// or https://; {remedy}")
    if parts.auth or parts.query or parts.fragment:
        raise Misconfigured(f"a URL with a user, a query or a fragment is not supported; {remedy}")
    return url.rstrip("/")


def _reason(error: urllib3.exceptions.HTTPError) -> str:
    cause = getattr(error, "reason", None) or error.__cause__ or error
    if isinstance(cause, urllib3.exceptions.NewConnectionError):
        cause = cause.__cause__ or cause
    reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return f"no response ({reason})"


def _object(response: urllib3.BaseHTTPResponse) -> dict[str, Any] | None:
    try:
        body = msgspec.json.decode(response.data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return body if isinstance(body, dict) else None


def _error(response: urllib3.BaseHTTPResponse) -> tuple[dict[str, Any], str]:
    """The error object of a response, and its message; of another server, only the status."""
    error = (_object(response) or {}).get("error")
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return error, f"{response.status}, {error['message']}"
    return {}, f"status {response.status} without an error message"


def _retry_after_s(response: urllib3.BaseHTTPResponse) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdecimal() else None


def _date_s(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None
