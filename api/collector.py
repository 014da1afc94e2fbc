"""Serves `/collect` in the lane: the reply to one HGET becomes the body of the response."""

from __future__ import annotations

import time
from functools import partial
from typing import NamedTuple

from api import collect
from api.live import Hub, Live, asgi
from tributary.auth.guard import Guard
from tributary.http.lane.lane import Lane
from tributary.http.lane.request import Request
from tributary.http.lane.router import Route
from tributary.model import reading
from tributary.settings import Settings
from tributary.store import keys, pipe, redirects
from tributary.store.links import Links
from tributary.store.pipe import Reply, pack

_DEVICE = len("device=")


def attach(settings: Settings, lane: Lane, guard: Guard) -> None:
    """Add `/collect` and live updates to the lane of a process."""
    collector = Collector(settings, lane, guard)
    hub = Hub(settings, collector.links)
    lane.mount(asgi.PATH, Live(hub, settings, guard.admit), hub)
    query = "device=[A-Za-z0-9._:/-]{1,128}"
    route = Route("/collect", ("GET", "POST"), query, collector.collect, collector.prepare)
    lane.add([route], collector.links)


class _Query(NamedTuple):
    """A parsed query string, and the command that reads its device."""

    device: str
    is_named: bool
    partition: int
    command: bytes


class Collector:
    """Handles `/collect`. Keep `links` open while serving."""

    def __init__(self, settings: Settings, lane: Lane, guard: Guard) -> None:
        self._guard = guard
        self._partitions = settings.partitions
        self._stale_after_ms = settings.stale_after_ms
        self._responses = lane.responses
        self._headers = b"Cache-Control: %b\r\n" % collect.CACHE_CONTROL.encode()
        if settings.cors_origins:  # Flask handles requests with an Origin
            self._headers += b"Vary: Origin\r\n"
        self.links = Links(settings, "redis (collect)")

    def collect(self, request: Request) -> None:
        """Handle one request; the response is sent when Redis replies.

        Raises:
            Refused, Unavailable: the client may not read the device, or not now.
        """
        query: _Query = request.query
        token = self._guard.admit(request.head)
        if token is not None:
            token.check("collect", (query.device,))
        self.links.pipe(query.partition).send(query.command, partial(self._on_reply, request))

    def prepare(self, query: bytes) -> _Query:
        """Parse a query string. The lane caches the result."""
        device = query[_DEVICE:].decode() or reading.DEFAULT_DEVICE
        partition = keys.partition_of(device, self._partitions)
        command = pack(("HGET", keys.latest(partition), device))
        return _Query(device, bool(query), partition, command)

    def _on_reply(self, request: Request, reply: Reply, *, is_redirected: bool = False) -> None:
        """Respond, or follow a redirect.

        No closure that refers to itself: that would leave each request to the garbage collector.
        """
        query: _Query = request.query
        if type(reply) is bytes:
            now_ms = time.time_ns() // 1_000_000
            found = collect.body_and_etag(query.device, reply, now_ms, self._stale_after_ms)
            self._respond(request, *found)
        elif reply is None and not query.is_named:
            self._respond(request, collect.EMPTY, collect.EMPTY_ETAG)
        elif redirects.is_redirect(reply) and not is_redirected:
            respond = partial(self._on_reply, request, is_redirected=True)
            self.links.redirects.on_reply(query.partition, query.command, respond)(reply)
        else:
            error = pipe.failure(reply) or collect.unknown_device(query.device)
            request.respond(self._responses.error(error, head=request.head))

    def _respond(self, request: Request, body: bytes, etag: str) -> None:
        headers = b"ETag: %b\r\n%b" % (etag.encode(), self._headers)
        request.respond(self._responses.json(200, body, headers))
