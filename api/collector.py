"""`GET|POST /collect` in the lane: one HGET, and its reply becomes the body of the answer."""

from __future__ import annotations

import time
from typing import NamedTuple

from api import collect
from api.live import Hub, Live, stream
from api.live.shares import Shares
from tributary.auth import cors
from tributary.auth.guard import Guard
from tributary.http.lane.lane import Lane
from tributary.http.lane.request import Request
from tributary.http.lane.router import Route
from tributary.model import reading
from tributary.settings import Settings
from tributary.store import keys, pipe
from tributary.store.links import Links
from tributary.store.pipe import Reply, pack

_DEVICE = len("device=")


def attach(settings: Settings, lane: Lane, guard: Guard) -> None:
    """Put `/collect` and live updates into the lane of a process."""
    collector = Collector(settings, lane, guard)
    hub = Hub(settings)
    origins = cors.parse_origins(settings.cors_origins)
    lane.mount(stream.PATH, Live(hub, stream.by(guard), origins, Shares(settings)), hub)
    query = "device=[A-Za-z0-9._:/-]{1,128}"
    route = Route("/collect", ("GET", "POST"), query, collector.collect, collector.prepare)
    lane.add([route], collector.links)


class _Asked(NamedTuple):
    """What a query string asks for."""

    device: str
    is_named: bool
    partition: int
    command: bytes


class Collector:
    """Answers `/collect`; keep `links` open while serving."""

    def __init__(self, settings: Settings, lane: Lane, guard: Guard) -> None:
        self._guard = guard
        self._partitions = settings.partitions
        self._stale_after_ms = settings.stale_after_ms
        self._responses = lane.responses
        self._headers = b"Cache-Control: %b\r\n" % collect.CACHE_CONTROL.encode()
        if settings.cors_origins:  # a page's own request has an Origin, and Flask answers it
            self._headers += b"Vary: Origin\r\n"
        self.links = Links(settings, (), "redis (collect)")

    def collect(self, request: Request) -> None:
        """Answer one request, once Redis has said what is stored of the device.

        Raises:
            Refused, Unavailable: the client may not see it, or not now.
        """
        asked: _Asked = request.query
        device = asked.device
        token = self._guard.admit(request.head)
        if token is not None:
            token.check("collect", (device,))

        def answered(reply: Reply) -> None:
            if type(reply) is bytes:
                now_ms = time.time_ns() // 1_000_000
                told = collect.tagged(device, reply, now_ms, self._stale_after_ms)
                self._answer(request, *told)
            elif reply is None and not asked.is_named:
                self._answer(request, collect.EMPTY, collect.EMPTY_ETAG)
            else:
                failure = pipe.failure(reply) or collect.unknown(device)
                request.respond(self._responses.error(failure))

        self.links.of(asked.partition).send(asked.command, answered)

    def prepare(self, query: bytes) -> _Asked:
        """What a query string asks for."""
        device = query[_DEVICE:].decode() or reading.DEFAULT_DEVICE
        partition = keys.partition_of(device, self._partitions)
        command = pack(("HGET", keys.latest(partition), device))
        return _Asked(device, bool(query), partition, command)

    def _answer(self, request: Request, body: bytes, etag: str) -> None:
        headers = b"ETag: %b\r\n%b" % (etag.encode(), self._headers)
        request.respond(self._responses.json(200, body, headers))
