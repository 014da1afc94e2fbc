"""`GET /api/v1/alerts`: the alerts that are not ok."""

from __future__ import annotations

import redis
from flask import Blueprint, Response, g, request

from api import collect
from api.read import alert_bodies, parameters
from tributary.auth.tokens import Token
from tributary.errors import Refused
from tributary.http import flask_app
from tributary.model import reading
from tributary.operate import alert_states
from tributary.operate.alert_states import Place, StoredAlert
from tributary.settings import Settings

LIMIT_DEFAULT, LIMIT_MAX = 1_000, 10_000
STATES = ("pending", "firing")


def blueprint(settings: Settings, client: redis.Redis) -> Blueprint:
    """The route."""
    lists = flask_app.ConcurrencyLimit(max(1, settings.http_threads // 2))
    routes = Blueprint("alerts", __name__)

    @routes.get("/api/v1/alerts")
    def get_alerts() -> Response:
        token: Token | None = g.token  # None: everything may be read
        state, device = request.args.get("state"), request.args.get("device")
        limit = parameters.limit(request.args.get("limit"), LIMIT_DEFAULT, LIMIT_MAX)
        place = _place(request.args.get("after"))
        if state is not None and state not in STATES:
            raise _invalid("state", state, f"{' or '.join(STATES)}; rules that are ok are absent")
        if device is not None:
            collect.check_device(device)
            if token is not None:
                token.check("collect", [device])
        with lists.acquire(token):
            if device is not None:
                found, following = alert_states.of_device(client, settings.partitions, device), None
            else:
                found, following = alert_states.page(client, settings.partitions, place, limit)
        covers = None if token is None or token.is_for_all else token.covers
        chosen = [
            build(each)
            for each in found
            if (state is None or each.state.state == state)
            and (covers is None or covers(each.device))
        ]
        chosen.sort(
            key=lambda each: (each.since, each.device, each.metric, each.rule), reverse=True
        )
        text = None if following is None else str(following)
        return flask_app.json_response(alert_bodies.Alerts(chosen, text))

    return routes


def build(stored: StoredAlert) -> alert_bodies.Alert:
    """An alert as it is returned."""
    state = stored.state
    return alert_bodies.Alert(
        stored.device, stored.metric, stored.rule, state.severity, state.state,
        reading.rfc3339(state.since_ms), state.value,
    )  # fmt: skip


def _place(after: str | None) -> Place:
    if after is None:
        return Place()
    place = Place.parse(after)
    if place is None:
        raise _invalid("after", after, "the `next` of a page")
    return place


def _invalid(name: str, text: str, rule: str) -> Refused:
    return Refused(
        f"{name}={text!r:.80} is not {rule}", status=400, code=f"invalid_{name}", field=name
    )
