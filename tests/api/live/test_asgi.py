"""The ASGI application without a server: tokens, origins, methods, limits and clock of the hub."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec
import pytest
import redis

from api.live import Hub, Live
from api.live.hub import HEARTBEAT_MS
from tributary.auth.guard import RequestHeaders
from tributary.errors import Refused
from tributary.model import reading
from tributary.model.clock import utc_ms
from tributary.settings import Settings
from tributary.store import keys
from tributary.store.links import Links

Story = Callable[[], Awaitable[None]]
Play = Callable[[Hub, Story], None]


class Browser:
    """One request to the application, as a server would make it."""

    def __init__(self, live: Live, method: str = "GET", query: bytes = b"", **headers: str) -> None:
        self.sent: list[dict[str, Any]] = []
        self._gone = asyncio.Event()
        named = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
        scope = {"type": "http", "method": method, "query_string": query, "headers": named}
        self.task = asyncio.create_task(live(scope, self._receive, self._send))

    async def _receive(self) -> Mapping[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    @property
    def headers(self) -> dict[str, str]:
        return {k.decode(): v.decode() for k, v in self.sent[0]["headers"]}

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.sent[1:]).decode()

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.005)

    async def status(self) -> int:
        await self.until(lambda: self.sent)
        return int(self.sent[0]["status"])

    async def leave(self) -> None:
        self._gone.set()
        await self.task


class OnlyCars:
    """A token for devices that begin with `car-`."""

    id = "cars"

    def check(self, scope: str, devices: Iterable[str] = ()) -> None:
        assert scope == "collect"
        if not all(map(self.covers, devices)):
            raise Refused("not for this device", status=403, code="wrong_device")

    def covers(self, device: str) -> bool:
        return device.startswith("car-")


def everybody(_headers: RequestHeaders) -> None:
    """Require no token."""


def live_updates(hub: Hub, admit: Callable[..., Any] = everybody, **changes: Any) -> Live:
    return Live(hub, Settings(**changes), admit)


@pytest.fixture
def links(settings: Settings) -> Links:
    return Links(settings, "redis (live)")


@pytest.fixture
def hub(settings: Settings, links: Links) -> Hub:
    return Hub(msgspec.structs.replace(settings, live_listeners_max=2), links)


@pytest.fixture
def play(links: Links) -> Play:
    """Run a story while a hub runs and its connections are open."""

    async def run(hub: Hub, story: Story) -> None:
        await links.open()
        keeping = asyncio.create_task(links.keep())
        await hub.start()
        try:
            await story()
        finally:
            await hub.stop()
            keeping.cancel()
            await asyncio.wait([keeping])

    return lambda hub, story: asyncio.run(run(hub, story))


def test_rejects_listeners_over_the_limit(hub: Hub, play: Play):
    async def story() -> None:
        live = live_updates(hub)
        two = [Browser(live), Browser(live)]
        assert [await each.status() for each in two] == [200, 200]
        third = Browser(live)
        assert await third.status() == 503
        assert third.headers["retry-after"] == "5"
        assert "live_listeners_max" in third.text
        await two[0].leave()
        fourth = Browser(live)
        assert await fourth.status() == 200
        assert hub.listeners == 2
        await two[1].leave()
        await fourth.leave()
        assert hub.listeners == 0

    play(hub, story)


def test_a_hub_that_stops_closes_every_stream(hub: Hub, play: Play):
    async def story() -> None:
        browser = Browser(live_updates(hub))
        assert await browser.status() == 200
        await hub.stop()
        await browser.task
        assert browser.sent[-1].get("more_body", False) is False
        late = Browser(live_updates(hub))
        assert await late.status() == 503

    play(hub, story)


def test_checks_the_token_at_the_start_and_again_later(hub: Hub, play: Play):
    async def story() -> None:
        valid = {"Bearer right"}

        def admit(headers: RequestHeaders) -> OnlyCars:
            if headers.authorization not in valid:
                raise Refused("there is no token", status=401, code="unauthorized")
            return OnlyCars()

        live = live_updates(hub, admit)
        assert await Browser(live).status() == 401
        right = {"authorization": "Bearer right"}
        assert await Browser(live, query=b"device=house", **right).status() == 403
        allowed = Browser(live, query=b"device=car-1", **right)
        assert await allowed.status() == 200
        valid.clear()
        async with asyncio.timeout(60):
            await allowed.task

    play(hub, story)


def test_a_page_holds_the_first_devices_that_the_token_covers(
    hub: Hub, play: Play, client: redis.Redis
):
    now = reading.rfc3339(utc_ms())
    for device in (*(f"bus-{n:03}" for n in range(300)), "car-1", "car-2", "car-3"):
        partition = keys.partition_of(device, 4)
        stored = f'{{"device":"{device}","recorded_at":"{now}","current_x":1,"average_x":1}}'
        client.hset(keys.latest(partition), device, stored)
        client.zadd(keys.devices(partition), {device: 0})

    async def story() -> None:
        cars = OnlyCars()
        browser = Browser(live_updates(hub, lambda _headers: cars), query=b"limit=2")
        await browser.until(lambda: browser.text.count("event: reading") == 2)
        assert "car-1" in browser.text
        assert "car-2" in browser.text
        await browser.leave()

    play(hub, story)


def test_allows_only_listed_origins(hub: Hub, play: Play):
    async def story() -> None:
        live = live_updates(hub, cors_origins="https://app.example")
        received = Browser(live, "OPTIONS", origin="https://app.example")
        assert await received.status() == 204
        assert received.headers["access-control-allow-origin"] == "https://app.example"
        assert "Authorization" in received.headers["access-control-allow-headers"]
        for origin in ("https://evil.example", "null", ""):
            other = Browser(live, origin=origin)
            assert await other.status() == 200
            assert "access-control-allow-origin" not in other.headers
            await other.leave()

    play(hub, story)


def test_allows_only_get(hub: Hub, play: Play):
    async def story() -> None:
        for method in ("POST", "PUT", "DELETE", "HEAD"):
            refused = Browser(live_updates(hub), method)
            assert await refused.status() == 405
            assert refused.headers["allow"] == "GET, OPTIONS"

    play(hub, story)


def test_sends_heartbeats_on_an_idle_connection(settings: Settings, links: Links, play: Play):
    now_ms = 1_795_341_600_000
    hub = Hub(settings, links, lambda: now_ms)

    async def story() -> None:
        nonlocal now_ms
        browser = Browser(live_updates(hub))
        await browser.until(lambda: browser.text.count("\n: 1795") == 1)
        now_ms += HEARTBEAT_MS - 1000
        await asyncio.sleep(0.25)
        assert browser.text.count("\n: 1795") == 1
        now_ms += 1000
        await browser.until(lambda: browser.text.count("\n: 1795") == 2)
        await browser.leave()

    play(hub, story)
