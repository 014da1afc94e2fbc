"""`/api/v1/alerts/silences`: hold back what a rule delivers for a device until a time."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec
import redis
from flask import Blueprint, Response, g, request

from api.read import alert_bodies
from tributary.auth.guard import Guard
from tributary.auth.tokens import Scope, Token
from tributary.errors import Refused
from tributary.http import flask_app
from tributary.model import alert_rule, reading
from tributary.model.clock import utc_ms
from tributary.operate import alert_delivery
from tributary.operate.alert_delivery import Silence
from tributary.settings import Settings

PATH = "/api/v1/alerts/silences"
LISTED_MAX = 1_000
_RULE = re.compile(alert_rule.NAME_PATTERN)


def blueprint(settings: Settings, client: redis.Redis, guard: Guard) -> Blueprint:
    """The routes: to list needs the scope `collect`, to change `operate`."""
    routes = Blueprint("silences", __name__)
    partitions = settings.partitions

    @routes.before_request
    def authenticate() -> None:
        scope: Scope = "operate" if request.method in ("POST", "DELETE") else "collect"
        flask_app.require_scope(guard, scope, writes=True)()

    @routes.get(PATH)
    def get_silences() -> Response:
        token: Token | None = g.token
        found = [
            build(each)
            for each in alert_delivery.silences(client, partitions, utc_ms())
            if token is None or token.covers(each.device)
        ]
        is_complete = len(found) <= LISTED_MAX
        return flask_app.json_response(alert_bodies.Silences(found[:LISTED_MAX], is_complete))

    @routes.post(PATH)
    def silence() -> Response:
        now_ms = utc_ms()
        given = _body(request.get_data(cache=False))
        wanted = Silence(*_names(given), _until_ms(given.get("until"), now_ms))
        alert_delivery.silence(client, partitions, wanted, now_ms)
        return flask_app.json_response(build(wanted))

    @routes.delete(PATH)
    def end_silence() -> Response:
        names = _names(request.args)
        if not alert_delivery.end_silence(client, partitions, *names):
            raise Refused(
                f"rule {names[2]!r} of {names[1]!r} is not silenced for {names[0]!r}; see {PATH}",
                status=404,
                code="unknown_silence",
            )
        return Response(status=204)

    return routes


def build(silence: Silence) -> alert_bodies.Silence:
    """A silence as it is returned."""
    return alert_bodies.Silence(*silence[:3], reading.rfc3339(silence.until_ms))


def _body(content: bytes) -> dict[str, object]:
    try:
        given = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"the body is not JSON: {error}", status=400, code="not_json") from None
    fields = msgspec.structs.fields(alert_bodies.Silence)
    if not isinstance(given, dict) or given.keys() != {field.name for field in fields}:
        raise Refused(
            "the body needs exactly the fields device, metric, rule and until; send "
            '{"device":"car-9","metric":"speed","rule":"too_fast","until":"2026-11-22T12:00:00Z"}',
            status=400,
            code="wrong_shape",
        )
    return given


def _names(given: Mapping[str, object]) -> tuple[str, str, str]:
    """The valid names of a series and a rule, which the token covers."""
    device, metric, rule = (given.get(name) for name in ("device", "metric", "rule"))
    if not isinstance(device, str) or not reading.is_device(device):
        raise _invalid("device", device, reading.DEVICE_RULE)
    if not isinstance(metric, str) or not reading.is_metric(metric):
        raise _invalid("metric", metric, reading.METRIC_RULE)
    if not isinstance(rule, str) or _RULE.fullmatch(rule) is None:
        raise _invalid("rule", rule, "the name of a rule in the catalogue of metrics")
    token: Token | None = g.token
    if token is not None:
        token.check("operate", [device])
    return device, metric, rule


def _until_ms(until: object, now_ms: int) -> int:
    """A time in the future.

    Raises:
        Refused: 400, it is not.
    """
    rule = "a time in the future, RFC 3339 with a time zone"
    if not isinstance(until, str):
        raise _invalid("until", until, rule)
    try:
        until_ms = reading.time_ms(until)
    except ValueError:
        raise _invalid("until", until, rule) from None
    if until_ms <= now_ms:
        raise _invalid("until", until, rule)
    return until_ms


def _invalid(field: str, given: object, rule: str) -> Refused:
    return Refused(
        f"{field}={given!r:.140} is not valid; use {rule}",
        status=400,
        code=f"invalid_{field}",
        field=field,
    )
