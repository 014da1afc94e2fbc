"""Every operation of the OpenAPI document with every kind of token, with the lane and without it.

The document says which scope an operation needs, so a new route is tested without a change here.
"""

from __future__ import annotations

import http.client
import json
import secrets
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
import pytest
from support.pipeline import environ
from support.processes import Server, tributary
from support.waiting import wait_until
from support.webs import Web

from api import openapi
from api.openapi.examples import EXAMPLES, Example
from tributary.auth import tokens
from tributary.auth.tokens import SCOPES, Token
from tributary.settings import Settings

DEVICE = "car-7"
PATHS: dict[str, Any] = openapi.document(Settings(), "0")["paths"]
BODY_MAX = 65_536


class Operation(NamedTuple):
    method: str
    path: str
    scope: str  # "": no token is required

    @property
    def request(self) -> Example:
        """A valid request, if there is an example of one."""
        found = [e for e in EXAMPLES if (e.method, e.path) == (self.method, self.path)]
        empty = Example(
            self.path, self.method, "", "", 200, None, dict.fromkeys(self.parameters, "x")
        )
        return min(found, key=lambda each: each.status, default=empty)

    @property
    def parameters(self) -> list[str]:
        named = PATHS[self.path][self.method.lower()].get("parameters", [])
        return [each["name"] for each in named if each["in"] == "path"]


def operations() -> list[Operation]:
    found = []
    for path, methods in PATHS.items():
        for method, operation in methods.items():
            scopes = {scope for each in operation["security"] for (scope,) in each.values()}
            assert len(scopes) <= 1
            found.append(Operation(method.upper(), path, "".join(scopes)))
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    own = Server(tmp_path_factory.mktemp("matrix"))
    yield own
    own.close()


def create(server: Server, **fields: Any) -> str:
    values = {"device": "*", "scopes": SCOPES, "created_at_ms": 0, "expires_at_ms": None, **fields}
    return tokens.create(server.client, Token(secrets.token_hex(4), "", **values))


@pytest.fixture(scope="module")
def secret_of(server: Server) -> dict[str, str]:
    """A secret of each kind of credential."""
    return {
        "no token": "",
        "wrong token": "trb_wrong",
        "expired token": create(server, expires_at_ms=1),
        "token of another device": create(server, device="van-*"),
        **{scope: create(server, scopes=(scope,)) for scope in SCOPES},
    }


@pytest.fixture(scope="module", params=[True, False], ids=["lane", "flask"])
def web(server: Server, secret_of: dict[str, str], request: pytest.FixtureRequest) -> Iterator[Web]:
    """A process with a reading of the device."""
    settings = Settings(redis_url=server.url, heartbeat_ms=100)
    running = Web(msgspec.structs.replace(settings, lane=request.param))
    aggregator = tributary("aggregator", environ=environ(settings))
    reading = {"device": DEVICE, "speed": 1}
    wait_until(lambda: running.record(reading, secret_of["record"]).status == 200, "a 200")
    path = f"/collect?device={DEVICE}"
    wait_until(lambda: running.get(path, secret_of["collect"]).status == 200, "the reading")
    aggregator.kill()
    yield running
    running.close()


def ask(web: Web, operation: Operation, secret: str) -> tuple[int, str]:
    """Status and body of a request with a token in every place where the operation may look."""
    example = operation.request
    hidden = {
        name: secret for name in example.parameters if name in ("token", "api_key", "PASSWORD")
    }
    example = msgspec.structs.replace(example, parameters={**example.parameters, **hidden})
    target = example.target
    if not secret:  # an empty segment would be another path
        target = target.replace("/sensor_data/?", "/sensor_data/-?").replace("/v1//", "/v1/-/")
    fields = {"Content-Type": example.content_type} if example.body is not None else {}
    fields |= {name: text for name, text in example.parameters.items() if "-" in name}
    fields.pop("If-None-Match", None)
    if secret:
        fields["Authorization"] = f"Bearer {secret}"
    body = example.body if isinstance(example.body, str | None) else json.dumps(example.body)
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=30)
    try:
        connection.request(operation.method, quote(target, safe="/?=&,%{}:-._~"), body, fields)
        response = connection.getresponse()
        is_endless = response.headers.get("Content-Type", "").startswith("text/event-stream")
        return response.status, "" if is_endless else response.read(BODY_MAX).decode()
    finally:
        connection.close()


def test_every_operation_names_the_scope_it_needs():
    found = operations()
    assert len(found) >= 60
    assert {each.path for each in found if not each.scope} == {
        "/ping", "/healthz", "/readyz", "/openapi.json",
        "/api/v1/exports/{id}/file",  # the link has a secret of its own
    }  # fmt: skip
    assert {each.scope for each in found} == {"", *SCOPES}


def is_right(operation: Operation, kind: str, status: int, body: str) -> bool:
    # Sensor Logger shows a 499 to its user, and repeats after any other status.
    is_phone = operation.path.startswith("/sensor_data")
    unauthorized, forbidden = (499, 499) if is_phone else (401, 403)
    if not operation.scope or kind == operation.scope:
        return status not in (401, 403, 499, 500)
    if status == 501:
        return operation.path == "/api/v1/live"  # without the lane
    if kind in SCOPES:
        return status == forbidden
    if kind != "token of another device":
        return status == unauthorized
    # The first has no device, the example of the second no reading.
    if operation.scope == "record" and operation.path not in ("/query", "/sensor_data/{token}"):
        return status == forbidden
    return status == 403 or (status != 500 and DEVICE not in body)


def test_an_operation_accepts_only_a_valid_token_with_its_scope(
    web: Web, secret_of: dict[str, str]
):
    wrong, successes = [], 0
    for operation in operations():
        for kind, secret in secret_of.items():
            status, body = ask(web, operation, secret)
            successes += kind == operation.scope and status < 300
            if not is_right(operation, kind, status, body):
                wrong.append((operation.method, operation.path, kind, status, body[:150]))
    assert not wrong, "\n".join(map(str, wrong))
    assert successes > 40  # the requests are valid, so the others failed for their tokens
