"""`GET /api/v1/live` as an ASGI application: one listener for each request, no thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Protocol

from api.live import event, subscription
from api.live.event import Stamp
from api.live.hub import Hub
from api.live.listener import Listener, every_device, for_ever
from api.live.shares import Shares
from tributary.auth import cors, tokens
from tributary.auth.guard import Guard, RequestHeaders
from tributary.errors import Refused, Unavailable
from tributary.http.error_body import error_body
from tributary.http.flask_app import to_response

PATH = "/api/v1/live"
_SCOPE: tokens.Scope = "collect"
_SLOW_S = 5.0  # a listener that takes nothing for so long is dropped

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]


class Pass(Protocol):
    """A token: what its holder may hear of."""

    @property
    def id(self) -> str:
        """What it is called in messages."""

    def check(self, scope: tokens.Scope, devices: Iterable[str] = ()) -> None:
        """Raise `Refused` if it lacks the scope or is not for one of the devices."""

    def covers(self, device: str) -> bool:
        """Whether it is for this device."""


Admit = Callable[[Mapping[str, str]], Pass | None]


def by(guard: Guard) -> Admit:
    """Ask a guard."""
    return lambda headers: guard.admit(
        RequestHeaders(
            headers.get("authorization", ""),
            host=headers.get("host"),
            origin=headers.get("origin"),
            fetch_site=headers.get("sec-fetch-site"),
        )
    )


def anybody(_headers: Mapping[str, str]) -> None:
    """Ask for no token."""


class Live:
    """The application. It answers whatever path it is asked for.

    Args:
        hub: tells the listeners; whoever serves starts and stops it.
        admit: the token of a request with these headers (names in lower case), or None where
            none is asked for; raises `Refused` without a valid one. It is asked again every
            second, so that a revoked token ends what it had begun.
        origins: other origins whose pages may listen.
        shares: how many listeners one token and one address may have; None: any number.
    """

    def __init__(
        self,
        hub: Hub,
        admit: Admit = anybody,
        origins: frozenset[str] = frozenset(),
        shares: Shares | None = None,
    ) -> None:
        self._hub = hub
        self._admit = admit
        self._origins = origins
        self._shares = shares

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request (called by the server)."""
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        shared = self._shared(scope["method"], headers)
        try:
            if scope["method"] != "GET":
                await _answer(send, *_other_method(scope["method"]), shared)
                return
            owner = self._owner(scope, headers)
            listener = self._listener(scope["query_string"], headers, owner)
        except (Refused, Unavailable) as error:
            await _answer(send, *to_response(error), shared)
        else:
            try:
                await self._serve(listener, receive, send, shared)
            finally:
                if self._shares is not None:
                    self._shares.release(*owner)

    def _owner(self, scope: Scope, headers: Mapping[str, str]) -> tuple[str, str]:
        """Id of the token and address of who wants to listen; empty: none, or not known."""
        token = self._admit(headers)
        address = (scope.get("client") or ("",))[0]
        return ("" if token is None else token.id), address

    def _listener(
        self, query: bytes, headers: Mapping[str, str], owner: tuple[str, str]
    ) -> Listener:
        """A listener that has joined the hub and counts among those of its owner."""
        token = self._admit(headers)
        wanted = subscription.parse(query)
        seen = Stamp.parse(headers.get("last-event-id", ""))
        covers: Callable[[str], bool] = every_device
        if token is not None:
            token.check(_SCOPE, wanted.devices)
            covers = token.covers
        listener = Listener(wanted, seen, covers, self._still(headers))
        if self._shares is not None:
            self._shares.take(*owner)
        try:
            self._hub.join(listener)
        except Unavailable:
            if self._shares is not None:
                self._shares.release(*owner)
            raise
        return listener

    def _still(self, headers: Mapping[str, str]) -> Callable[[], bool]:
        if self._admit is anybody:
            return for_ever

        def holds() -> bool:
            try:
                self._admit(headers)
            except Refused:
                return False
            except Unavailable:  # nobody can say now; who was let in may stay
                return True
            return True

        return holds

    async def _serve(
        self, listener: Listener, receive: Receive, send: Send, shared: Headers
    ) -> None:
        leaving = asyncio.create_task(_until_gone(listener, receive))
        try:
            headers = [
                (b"content-type", b"text/event-stream"),
                (b"cache-control", b"no-store"),
                (b"x-accel-buffering", b"no"),
                (b"connection", b"close"),  # so that a server on its way out need not wait
                *shared,
            ]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await _send_all(listener, send)
        finally:
            leaving.cancel()
            self._hub.leave(listener)

    def _shared(self, method: str, headers: Mapping[str, str]) -> Headers:
        shared = cors.headers(self._origins, headers.get("origin"), method)
        return [(name.lower().encode(), value.encode()) for name, value in shared.items()]


async def _until_gone(listener: Listener, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
    listener.end()


async def _send_all(listener: Listener, send: Send) -> None:
    chunk = event.HELLO
    while chunk:
        try:
            async with asyncio.timeout(_SLOW_S):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except TimeoutError:
            _abort(send)
            return
        chunk = await listener.take()
    await send({"type": "http.response.body", "body": b""})


def _abort(send: Send) -> None:
    """Cut off a client that does not read: ASGI can only close politely, after all is sent."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()


def _other_method(method: str) -> tuple[int, bytes, dict[str, str]]:
    allow = {"Allow": "GET, OPTIONS"}
    if method == "OPTIONS":
        return HTTPStatus.NO_CONTENT, b"", allow
    body = error_body("method_not_allowed", f"{method} is not possible here; use GET")
    return HTTPStatus.METHOD_NOT_ALLOWED, body, allow


async def _answer(
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
