"""`GET /api/v1/live` as an ASGI application: each request is a listener; no threads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

from api.live import event, subscription
from api.live.event import Stamp
from api.live.hub import Hub
from api.live.listener import Listener, every_device
from api.live.quota import Quota
from tributary.auth import cors, tokens
from tributary.auth.guard import RequestHeaders
from tributary.errors import Refused, Unavailable
from tributary.http import request_id
from tributary.http.error_body import error_body
from tributary.http.flask_app import to_response
from tributary.settings import Settings

PATH = "/api/v1/live"
_WRITE_TIMEOUT_S = 5.0  # a client that reads nothing for this long is disconnected

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]


class Live:
    """The application; it is mounted at one path and does not look at it.

    Args:
        hub: sends the events; the server starts and stops it.
        settings: other origins whose pages may listen, and how many listeners one token and one
            address may have.
        admit: `Guard.admit`. It is called again every second, so that revoking a token closes
            its streams.
    """

    def __init__(
        self, hub: Hub, settings: Settings, admit: Callable[[RequestHeaders], tokens.Token | None]
    ) -> None:
        self._hub = hub
        self._admit = admit
        self._origins = cors.parse_origins(settings.cors_origins)
        self._quota = Quota(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request (called by the server)."""
        method = scope["method"]
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        id_ = request_id.given(headers.get("x-request-id")) or request_id.new()
        shared = _encoded(cors.headers(self._origins, headers.get("origin"), method))
        shared.append((b"x-request-id", id_.encode()))
        if method != "GET":
            await _respond(send, *_method_not_allowed(method), shared)
            return
        try:
            listener, owner = self._join(scope, headers)
        except (Refused, Unavailable) as error:
            with request_id.logged(id_):
                response = to_response(error)
            await _respond(send, *response, shared)
            return
        try:
            await self._serve(listener, receive, send, shared)
        finally:
            self._quota.release(*owner)

    def _join(self, scope: Scope, headers: Mapping[str, str]) -> tuple[Listener, tuple[str, str]]:
        """A listener that has joined the hub, and who is counted for it: token id and address."""
        credentials = RequestHeaders(
            headers.get("authorization", ""),
            host=headers.get("host"),
            origin=headers.get("origin"),
            fetch_site=headers.get("sec-fetch-site"),
        )
        token = self._admit(credentials)
        wanted = subscription.parse(scope["query_string"])
        if token is not None:
            token.check("collect", wanted.devices)
        seen = Stamp.parse(headers.get("last-event-id", ""))
        covers = every_device if token is None else token.covers
        listener = Listener(wanted, seen, covers, partial(self._is_valid, credentials))
        owner = ("" if token is None else token.id, (scope.get("client") or ("",))[0])
        self._quota.take(*owner)
        try:
            self._hub.join(listener)
        except Unavailable:
            self._quota.release(*owner)
            raise
        return listener, owner

    def _is_valid(self, credentials: RequestHeaders) -> bool:
        try:
            self._admit(credentials)
        except Refused:
            return False
        except Unavailable:  # cannot be checked now; the connection stays
            return True
        return True

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


def _encoded(headers: Mapping[str, str]) -> Headers:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


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
        *_encoded(extra),
        *shared,
    ]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
