"""`GET /api/v1/live` as an ASGI application: each request is a listener; no threads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Protocol

from api.live import event, subscription
from api.live.event import Stamp
from api.live.hub import Hub
from api.live.listener import Listener, always, every_device
from api.live.quota import Quota
from tributary.auth import cors, tokens
from tributary.auth.guard import Guard, RequestHeaders
from tributary.errors import Refused, Unavailable
from tributary.http.error_body import error_body
from tributary.http.flask_app import to_response

PATH = "/api/v1/live"
_SCOPE: tokens.Scope = "collect"
_WRITE_TIMEOUT_S = 5.0  # a client that reads nothing for this long is disconnected

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]


class Token(Protocol):
    """What the holder of a token may read."""

    @property
    def id(self) -> str:
        """Its name in messages."""

    def check(self, scope: tokens.Scope, devices: Iterable[str] = ()) -> None:
        """Raise `Refused` if it lacks the scope or does not cover one of the devices."""

    def covers(self, device: str) -> bool:
        """Whether it is valid for a device."""


Admit = Callable[[Mapping[str, str]], Token | None]


def admit_by(guard: Guard) -> Admit:
    """Require a token that the guard admits."""
    return lambda headers: guard.admit(
        RequestHeaders(
            headers.get("authorization", ""),
            host=headers.get("host"),
            origin=headers.get("origin"),
            fetch_site=headers.get("sec-fetch-site"),
        )
    )


def admit_all(_headers: Mapping[str, str]) -> None:
    """Require no token."""


class Live:
    """The application; it is mounted at one path and does not look at it.

    Args:
        hub: sends the events; the server starts and stops it.
        admit: returns the token of a request with these headers (names in lower case), or None
            if none is required; raises `Refused` without a valid one. It is called again every
            second, so that revoking a token closes its streams.
        origins: other origins whose pages may listen.
        quota: how many listeners one token and one address may have; None: no limit.
    """

    def __init__(
        self,
        hub: Hub,
        admit: Admit = admit_all,
        origins: frozenset[str] = frozenset(),
        quota: Quota | None = None,
    ) -> None:
        self._hub = hub
        self._admit = admit
        self._origins = origins
        self._quota = quota

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request (called by the server)."""
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        shared = self._shared(scope["method"], headers)
        try:
            if scope["method"] != "GET":
                await _respond(send, *_method_not_allowed(scope["method"]), shared)
                return
            owner = self._owner(scope, headers)
            listener = self._listener(scope["query_string"], headers, owner)
        except (Refused, Unavailable) as error:
            await _respond(send, *to_response(error), shared)
        else:
            try:
                await self._serve(listener, receive, send, shared)
            finally:
                if self._quota is not None:
                    self._quota.release(*owner)

    def _owner(self, scope: Scope, headers: Mapping[str, str]) -> tuple[str, str]:
        """Token id and address of the client; empty if there is none."""
        token = self._admit(headers)
        address = (scope.get("client") or ("",))[0]
        return ("" if token is None else token.id), address

    def _listener(
        self, query: bytes, headers: Mapping[str, str], owner: tuple[str, str]
    ) -> Listener:
        """A listener that has joined the hub and is counted in the quota of its owner."""
        token = self._admit(headers)
        wanted = subscription.parse(query)
        seen = Stamp.parse(headers.get("last-event-id", ""))
        covers: Callable[[str], bool] = every_device
        if token is not None:
            token.check(_SCOPE, wanted.devices)
            covers = token.covers
        listener = Listener(wanted, seen, covers, self._validity(headers))
        if self._quota is not None:
            self._quota.take(*owner)
        try:
            self._hub.join(listener)
        except Unavailable:
            if self._quota is not None:
                self._quota.release(*owner)
            raise
        return listener

    def _validity(self, headers: Mapping[str, str]) -> Callable[[], bool]:
        if self._admit is admit_all:
            return always

        def is_valid() -> bool:
            try:
                self._admit(headers)
            except Refused:
                return False
            except Unavailable:  # cannot be checked now; the connection stays
                return True
            return True

        return is_valid

    async def _serve(
        self, listener: Listener, receive: Receive, send: Send, shared: Headers
    ) -> None:
        disconnected = asyncio.create_task(_close_on_disconnect(listener, receive))
        try:
            headers = [
                (b"content-type", b"text/event-stream"),
                (b"cache-control", b"no-store"),
                (b"x-accel-buffering", b"no"),
                (b"connection", b"close"),  # so that a stopping server need not wait for it
                *shared,
            ]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await _send_all(listener, send)
        finally:
            disconnected.cancel()
            self._hub.leave(listener)

    def _shared(self, method: str, headers: Mapping[str, str]) -> Headers:
        shared = cors.headers(self._origins, headers.get("origin"), method)
        return [(name.lower().encode(), value.encode()) for name, value in shared.items()]


async def _close_on_disconnect(listener: Listener, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
    listener.close()


async def _send_all(listener: Listener, send: Send) -> None:
    chunk = event.HELLO
    while chunk:
        try:
            async with asyncio.timeout(_WRITE_TIMEOUT_S):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except TimeoutError:
            _abort(send)
            return
        chunk = await listener.next_chunk()
    await send({"type": "http.response.body", "body": b""})


def _abort(send: Send) -> None:
    """Disconnect a client that does not read; ASGI can only close after everything is sent."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()


def _method_not_allowed(method: str) -> tuple[int, bytes, dict[str, str]]:
    allow = {"Allow": "GET, OPTIONS"}
    if method == "OPTIONS":
        return HTTPStatus.NO_CONTENT, b"", allow
    body = error_body("method_not_allowed", f"{method} is not allowed here; use GET")
    return HTTPStatus.METHOD_NOT_ALLOWED, body, allow


async def _respond(
    send: Send, status: int, body: bytes, extra: dict[str, str], shared: Headers
) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *((name.lower().encode(), value.encode()) for name, value in extra.items()),
        *shared,
    ]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
