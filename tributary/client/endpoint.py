"""One server over HTTP: ask, and ask again while it may yet succeed.

Asked again is what says "later" (429, 502, 503, 504) and what cannot be reached. The pauses
grow, a `Retry-After` is honoured, and a deadline bounds it all.
"""

from __future__ import annotations

import random
import time
from typing import Any, NamedTuple

import msgspec
import urllib3
from urllib3.util import Timeout, parse_url

from tributary.errors import Misconfigured, Refused, TributaryError, Unavailable

_TIMEOUT = Timeout(connect=5.0, read=15.0)
_STREAM_TIMEOUT = Timeout(connect=5.0, read=30.0)  # a server says something every ten seconds
_EVENT_STREAM = "text/event-stream"
_CONNECTIONS = 16
_NOT_THIS_SERVER = 501
_LATER = frozenset((429, 502, 503, 504))
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0


class ServerFault(TributaryError):
    """The server does not answer as Tributary does."""


class Request(NamedTuple):
    """What to ask. Only what may be executed twice belongs here: reads, and writes with a key."""

    method: str
    path: str
    body: bytes | None = None
    key: str | None = None
    fields: dict[str, str] | None = None


class Endpoint:
    """Where a deployment is, and the connections kept to it. Safe to share between threads."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = _checked(url)
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._pool = urllib3.PoolManager(maxsize=_CONNECTIONS, timeout=_TIMEOUT, retries=False)

    def ask(self, request: Request, deadline_s: float) -> dict[str, Any]:
        """The JSON object that a request is answered with; always at least one attempt.

        Args:
            request: what to ask.
            deadline_s: on the monotonic clock; no attempt begins after it but the first.

        Raises:
            Unavailable: it could not be answered by then.
            Refused: the answer is no, for good.
            ServerFault: the answer is not one of Tributary's.
        """
        attempt = 0
        while True:
            try:
                response = self._send(request)
            except urllib3.exceptions.HTTPError as error:
                fault, wished_s = _plain(error), None
            else:
                if response.status not in _LATER:
                    return self._answer(response)
                fault, wished_s = _said(response)[1], _retry_after_s(response)
            wait_s = pause_s(attempt, wished_s)
            if time.monotonic() + wait_s > deadline_s:
                raise Unavailable(f"{self.url}: {fault}")
            time.sleep(wait_s)
            attempt += 1

    def stream(
        self, path: str, fields: list[tuple[str, str]], last_event_id: str
    ) -> urllib3.BaseHTTPResponse:
        """An event stream, to be read and closed by the caller; asked for once.

        Raises:
            urllib3.exceptions.HTTPError: nobody answers.
            Unavailable: the server says "later".
            Refused: it says no for good.
            ServerFault: the answer is not one of Tributary's.
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
        if response.status in _LATER:
            raise Unavailable(_said(response)[1])
        self._answer(response)
        raise ServerFault(f"{self.url}: the answer is no event stream; is it a Tributary server?")

    def close(self) -> None:
        """Close the connections that are kept."""
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

    def _answer(self, response: urllib3.BaseHTTPResponse) -> dict[str, Any]:
        if response.status == 200:
            body = _object(response)
            if body is not None:
                return body
        elif 400 <= response.status < 500 or response.status == _NOT_THIS_SERVER:
            error, message = _said(response)
            raise Refused(
                message,
                status=response.status,
                code=str(error.get("code", response.status)),
                field=error.get("field"),
                index=error.get("index"),
            )
        raise ServerFault(f"{self.url}: {_said(response)[1]}; is it a Tributary server?")


def pause_s(attempt: int, wished_s: float | None = None) -> float:
    """How long to wait after an attempt: what the server wished, else longer each time.

    There is always some chance in it, so that many clients do not come back at once.
    """
    longest_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(attempt, 10))
    if wished_s is not None:
        return wished_s + random.uniform(0, longest_s / 2)  # noqa: S311 (no secret)
    return random.uniform(longest_s / 2, longest_s)  # noqa: S311 (no secret)


def _checked(url: str) -> str:
    remedy = "give it like http://127.0.0.1:8000"
    try:
        parts = parse_url(url)
    except urllib3.exceptions.LocationParseError:
        raise Misconfigured(f"url={url!r:.200} is not a URL; {remedy}") from None
    if parts.scheme not in ("http", "https") or not parts.host:
        raise Misconfigured(f"url={url!r:.200} does not begin with http:// or https://; {remedy}")
    if parts.auth or parts.query or parts.fragment:
        raise Misconfigured(f"a url with a user, a query or a fragment cannot be used; {remedy}")
    return url.rstrip("/")


def _plain(error: urllib3.exceptions.HTTPError) -> str:
    cause = getattr(error, "reason", None) or error.__cause__ or error
    if isinstance(cause, urllib3.exceptions.NewConnectionError):
        cause = cause.__cause__ or cause
    reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return f"no answer ({reason})"


def _object(response: urllib3.BaseHTTPResponse) -> dict[str, Any] | None:
    try:
        body = msgspec.json.decode(response.data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return body if isinstance(body, dict) else None


def _said(response: urllib3.BaseHTTPResponse) -> tuple[dict[str, Any], str]:
    """The error of an answer, and in words; what is not ours has only its status."""
    error = (_object(response) or {}).get("error")
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return error, f"{response.status}, {error['message']}"
    return {}, f"the answer is {response.status} without a reason"


def _retry_after_s(response: urllib3.BaseHTTPResponse) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdecimal() else None
