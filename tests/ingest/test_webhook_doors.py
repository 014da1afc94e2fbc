"""What the doors for messages of other systems have in common, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from support.door_requests import parse, status_of
from support.processes import ROOT
from support.waiting import wait_until
from support.webs import Web

from ingest.doors import DOORS, webhook
from ingest.limits import Rules
from tributary.auth import tokens
from tributary.auth.tokens import Token
from tributary.errors import Refused, Unavailable
from tributary.http import flask_app
from tributary.settings import Settings

pytestmark = pytest.mark.slow


class Case(NamedTuple):
    door: str
    target: str
    body: bytes
    device: str
    has_key: bool  # the message contains its idempotency key


def data(name: str) -> bytes:
    return (ROOT / "tests/data" / name).read_bytes()


CASES = [
    Case("thingsboard", "/record/thingsboard?device=boiler", b'{"temp":20.4}', "boiler", False),
    Case("thingsboard", "/api/v1/x/telemetry?device=boiler", b'{"temp":20.4}', "boiler", False),
    Case("ttn", "/record/ttn", data("ttn_uplink.json"), "soil-7", True),
    Case("chirpstack", "/record/chirpstack?event=up", data("chirpstack_up.json"), "0101010101010101", True),
    Case("sensor-community", "/record/sensor-community", data("sensor_community.json"), "1234567", False),
]  # fmt: skip
NAMED = {door.name: door for door in DOORS}
each_case = pytest.mark.parametrize("case", CASES, ids=[case.target for case in CASES])


@each_case
def test_a_message_is_stored(web: Web, accepted: Callable[[], int], case: Case):
    before = accepted()
    path, _, query = case.target.partition("?")
    body = case.body.replace(b"soil-7", b"soil-%d" % web.port)
    body = body.replace(b"3ac7e3c4", b"%d" % web.port)
    status = [web.ask("POST", case.target, body).status for _ in range(2)]
    assert status == [200, 200]
    assert accepted() == before + (1 if case.has_key else 2)
    assert web.ask("POST", f"{path}?{query}&x=%20".replace("?&", "?"), body).status == 200
    assert web.ask("GET", case.target).status == 405
    assert web.ask("POST", case.target, b"{").status == 400


def test_the_token_may_be_in_the_query(web: Web, web_client: redis.Redis):
    names = [f"one-{number}" for number in range(len(CASES))]
    secrets = [
        tokens.create(web_client, Token(name, "", case.device, ("record",), 0))
        for name, case in zip(names, CASES, strict=True)
    ]
    other = tokens.create(web_client, Token("other", "", "other", ("record",), 0))
    probe = CASES[-1]
    try:
        wait_until(lambda: web.ask("POST", probe.target, probe.body).status == 401, "tokens")
        for case, secret in zip(CASES, secrets, strict=True):
            check_tokens(web, case, secret, other)
            assert secret not in web.process.text
    finally:
        for name in (*names, "other"):
            tokens.revoke(web_client, name)
        wait_until(lambda: web.ask("POST", probe.target, b"").status == 400, "no tokens")


def check_tokens(web: Web, case: Case, secret: str, other: str) -> None:
    # The path of ThingsBoard contains the token, whatever the query string contains.
    targets = {
        each: case.target.replace("/x/", f"/{each}/")
        if "/x/" in case.target
        else f"{case.target}{'&' if '?' in case.target else '?'}token={each}"
        for each in (secret, other, "wrong")
    }
    assert web.ask("POST", case.target, case.body).status == 401, case
    assert web.ask("POST", targets[secret], case.body).status == 200, case
    assert web.ask("POST", case.target, case.body, secret).status == 200, case
    assert web.ask("POST", targets[other], case.body).status == 403, case
    assert web.ask("POST", targets["wrong"], case.body).status == 401, case
    assert web.ask("POST", targets[secret], b"{").status == 400, case


@each_case
def test_overload_is_503_with_a_time_to_wait(case: Case):
    reply = NAMED[case.door].error(flask_app.http_error(Unavailable()))
    assert (reply.status, dict(reply.headers)) == (503, {"Retry-After": "1"})


@each_case
def test_implausible_values_may_be_rejected(case: Case):
    rules = Rules(Settings(implausible="refuse"))
    body = case.body.replace(b'"temp":20.4', b'"humidity":101')
    body = body.replace(b'"temperature":21.5', b'"humidity":101').replace(b"-48", b"-480")
    body = body.replace(b"-98", b"-980").replace(b"53.64", b"101")
    query = case.target.partition("?")[2]
    with pytest.raises(Refused) as caught:
        parse(NAMED[case.door], body, query, rules=rules)
    assert (caught.value.status, caught.value.code) == (422, "implausible")


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
)


@each_case
@given(content=st.data())
def test_any_mutation_is_stored_or_rejected(case: Case, content: st.DataObject):
    body: Any = msgspec.json.decode(case.body)
    node = body
    while True:
        places = [*node] if isinstance(node, dict) else [*range(len(node))]
        place = content.draw(st.sampled_from(places))
        inner = node[place]
        if isinstance(inner, dict | list) and inner and content.draw(st.booleans()):
            node = inner
            continue
        node[place] = content.draw(_values)
        break
    encoded = msgspec.json.encode(body)
    status = status_of(NAMED[case.door], encoded, case.target.partition("?")[2])
    assert status in (200, 400, 422)


@pytest.mark.parametrize(
    ("gateways", "best"),
    [
        (None, {}),
        ("x", {}),
        ([], {}),
        ([None, {"snr": 5}, {"rssi": None}, {"rssi": "x"}], {}),
        ([{"rssi": -50, "snr": 1}, {"rssi": -40}], {"rssi": -40}),
        ([{"rssi": "-40", "snr": 2}, {"rssi": -50, "snr": 9}], {"rssi": -40, "snr": 2}),
    ],
)
def test_the_best_gateway(gateways: Any, best: dict[str, float]):
    assert webhook.best_gateway(gateways) == best


def test_names_of_values():
    named = {"a b": 1, "recorded_at": 2, "device": 3, "x": {"y": "4"}, "s": "x"}
    assert webhook.metrics(named) == ({"a_b": 1, "x.y": 4}, ["s", "recorded_at", "device"])
    kept = webhook.metrics(named, keeps_reserved=True)
    assert kept.metrics.keys() == {"a_b", "x.y", "recorded_at", "device"}
    with pytest.raises(Refused, match="a_b"):
        webhook.metrics({"a b": 1, "a_b": 2})
