"""The api role over Flask: complete by itself; the lane only makes it faster.

Run it with `tributary api`, or any WSGI server: `gunicorn api.app:app`.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec
import redis
from flask import Blueprint, Flask, Response, g, request

from api import collect, query
from api.store import Store
from tributary import connection, log, reading, settings, web
from tributary.aggregate import Layout
from tributary.errors import Refused
from tributary.guard import Guard
from tributary.settings import Settings

PAGE_MAX = 1000
_CURRENT = "current_"


def blueprint(settings: Settings, client: redis.Redis, guard: Guard) -> Blueprint:
    """`/collect` and the read API."""
    routes = Blueprint("api", __name__)

    routes.before_request(lambda: _admit(guard))

    store = Store(client, settings)
    layout = Layout(settings.parsed_windows, settings.average_over)

    @routes.route("/collect", methods=["GET", "POST"])
    def get_collect() -> Response:
        device = request.args.get("device", "")
        latest = _latest(store, device or reading.DEFAULT_DEVICE)
        if latest is None:
            if device:
                raise collect.unknown(device)
            return web.json_answer(collect.EMPTY)
        name = device or reading.DEFAULT_DEVICE
        return web.json_answer(collect.answer(name, latest, _now_ms(), settings.stale_after_ms))

    @routes.get("/api/v1/devices")
    def get_devices() -> Response:
        limit = _limit()
        after, prefix = request.args.get("after", ""), request.args.get("prefix", "")
        listed = store.devices(prefix, after, limit + 1)
        now_ms = _now_ms()
        devices = [_listed(d.device, d.latest, now_ms, settings) for d in listed[:limit]]
        following = listed[limit - 1].device if len(listed) > limit else None
        return web.json_answer({"devices": devices, "next": following})

    @routes.get("/api/v1/devices/<path:device>")
    def get_device(device: str) -> Response:
        latest = _latest(store, device)
        if latest is None:
            raise collect.unknown(device)
        now_ms = _now_ms()
        names = [name.removeprefix(_CURRENT) for name in _fields(latest)]
        metrics = {}
        for name, (state, rings) in zip(names, store.series(device, names), strict=True):
            if state is not None:
                metrics[name] = _metric(
                    layout, query.unpack(layout, state, rings), now_ms, settings
                )
        head = _listed(device, latest, now_ms, settings)
        return web.json_answer({**head, "metrics": metrics})

    return routes


def create_app(settings: Settings, guard: Guard) -> Flask:
    """The api role alone."""
    client = connection.connect(settings)
    ready = connection.readiness(client, writes=False)
    return web.make_app(__name__, blueprint(settings, client, guard), web.health([ready]))


def _admit(guard: Guard) -> None:
    g.token = guard.admit(web.asked())
    if g.token is not None:
        g.token.check("collect")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _latest(store: Store, device: str) -> bytes | None:
    collect.check_device(device)
    if g.token is not None:
        g.token.check("collect", (device,))
    return store.latest(device)


def _fields(latest: bytes) -> list[str]:
    return [name for name in msgspec.json.decode(latest) if name.startswith(_CURRENT)]


def _limit() -> int:
    text = request.args.get("limit", "100")
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= PAGE_MAX:
        raise Refused(
            f"limit={text!r:.40} is not a number from 1 to {PAGE_MAX}",
            status=400,
            code="invalid_limit",
            field="limit",
        )
    return int(text)


def _listed(device: str, latest: bytes, now_ms: int, settings: Settings) -> dict[str, Any]:
    return {"device": device, **_age(collect.recorded_at_ms(device, latest), now_ms, settings)}


def _age(recorded_at_ms: int, now_ms: int, settings: Settings) -> dict[str, Any]:
    age_ms = max(0, now_ms - recorded_at_ms)
    return {
        "recorded_at": reading.rfc3339(recorded_at_ms),
        "age_ms": age_ms,
        "stale": age_ms > settings.stale_after_ms,
    }


def _metric(
    layout: Layout, series: query.Series, now_ms: int, settings: Settings
) -> dict[str, Any]:
    windows = {
        width.name: query.window(layout, series, number, now_ms)
        for number, width in enumerate(layout.windows)
    }
    return {
        "current": float(series.state["values"][-1]),
        "average": query.average(series),
        **_age(series.newest_ms, now_ms, settings),
        "unit": None,
        "total": query.total(series),
        "windows": windows,
    }


def __getattr__(name: str) -> Any:
    """`app`, made when a WSGI server first asks for it: nothing is read at import."""
    if name != "app":
        raise AttributeError(name)
    loaded = settings.load()
    log.configure(loaded, "api")
    return create_app(loaded, Guard(loaded, connection.connect(loaded)))
