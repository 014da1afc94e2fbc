"""The HTTP API of InfluxDB: its statuses, bodies and header fields, on both front ends."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from support.waiting import wait_until
from support.webs import Reply, Web

from tributary.auth import tokens
from tributary.auth.tokens import Token
from tributary.store import counts, keys

Accepted = Callable[[], int]
LINE = "engine,device=car-7 temperature=92"
V1, V2, V3 = "/write?db=x", "/api/v2/write?org=o&bucket=b", "/api/v3/write_lp?db=x"


def post(web: Web, path: str, body: str | bytes, **headers: str) -> Reply:
    content = body.encode() if isinstance(body, str) else body
    return web.ask("POST", path, content, **headers)


@pytest.mark.parametrize("path", [V1, V2, V3])
@pytest.mark.parametrize(
    ("body", "readings"),
    [
        (LINE, 1),
        (f"{LINE}\ncpu,host=pi usage=1i,idle=t\n", 2),
        ("\n".join([LINE] * 20), 20),
        ('engine,device=car-7 note="text only"', 0),
        ("", 0),
        ("\n", 0),
        ("# a comment", 0),
    ],
)
def test_lines_are_stored(web: Web, accepted: Accepted, path: str, body: str, readings: int):
    before = accepted()
    reply = post(web, path, body)
    assert (reply.status, reply.json) == (204, None)
    assert reply.headers["x-influxdb-version"] == "1.8.10"
    assert not {"content-type", "content-length"} & reply.headers.keys()
    assert accepted() == before + readings


def test_gzip_is_decompressed(web: Web, accepted: Accepted):
    before = accepted()
    assert post(web, V1, gzip.compress(LINE.encode()), Content_Encoding="gzip").status == 204
    assert accepted() == before + 1


def unparsable(text: str) -> dict[str, Any]:
    return {"code": "invalid", "message": f"unable to parse {text}"}


BAD_LINE = "'a': missing fields"
FAILED = {"original_line": "a", "error_message": "missing fields"}
BAD_VALUE = "invalid boolean f=x; send a number, 1i, true or a quoted string"


ERRORS: list[tuple[str, str, int, dict[str, Any]]] = [
    ("/write", LINE, 0, {"error": "database is required"}),
    ("/write?db=", LINE, 0, {"error": "database is required"}),
    (V1, "a", 0, {"error": f"unable to parse {BAD_LINE}"}),
    (
        V1,
        f"{LINE}\na\na f=x\n{LINE}",
        2,
        {
            "error": f"partial write: unable to parse {BAD_LINE}\n"
            f"unable to parse 'a f=x': {BAD_VALUE} dropped=0"
        },
    ),
    (V2, f"{LINE}\na\n{LINE}", 0, {**unparsable(BAD_LINE), "line": 2}),
    (
        V3,
        f"{LINE}\na\n{LINE}",
        2,
        {
            "error": "partial write of line protocol occurred",
            "data": [{**FAILED, "line_number": 2}],
        },
    ),
    (
        f"{V3}&accept_partial=false",
        f"{LINE}\na",
        0,
        {"error": "parsing failed for write_lp endpoint", "data": {**FAILED, "line_number": 2}},
    ),
    (f"{V1}&precision=d", LINE, 0, {"error": "invalid precision 'd'; use ns, us, ms, s, m, h"}),
    (
        f"{V2}&precision=m",
        LINE,
        0,
        {"code": "invalid", "message": "invalid precision 'm'; use ns, us, ms, s"},
    ),
    (
        f"{V3}&accept_partial=no",
        LINE,
        0,
        {"error": "invalid accept_partial='no'; use true or false"},
    ),
]


@pytest.mark.parametrize("case", ERRORS)
def test_errors_have_the_bodies_of_influxdb(
    web: Web, accepted: Accepted, case: tuple[str, str, int, dict[str, Any]]
):
    path, body, readings, expected = case
    before = accepted()
    reply = post(web, path, body)
    assert (reply.status, reply.json) == (400, expected)
    assert accepted() == before + readings
    if path.startswith("/write"):
        assert reply.headers["x-influxdb-error"] == expected["error"].replace("\n", "?")


def test_many_bad_lines_are_not_all_listed(web: Web):
    error = post(web, V1, "\n".join(f"m{n}" for n in range(50)) + f"\né{'x' * 2000}").json["error"]
    assert error.count("unable to parse") == 10
    assert error.endswith("and 41 more")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (V1, "Request Entity Too Large: the body has "),
        (V2, "request too large"),
        (V3, "the body has "),
    ],
)
def test_a_large_body_has_an_error_of_influxdb(web: Web, path: str, expected: str):
    large = b" " * 2_000_000
    bomb = post(web, path, gzip.compress(large), Content_Encoding="gzip")
    for reply in (post(web, path, large), bomb):
        assert reply.status == 413
        shown = reply.json.get("error") or reply.json["code"]
        assert shown.startswith(expected)


def test_text_is_counted(web: Web, web_client: redis.Redis):
    def counted() -> int:
        return counts.totals(web_client, keys.IGNORED).get("influx_v1", 0)

    before = counted()
    assert post(web, V1, f'{LINE},a="x",b="y"\n{LINE}').status == 204
    wait_until(lambda: counted() >= before + 2, "two texts to be counted")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/ping", 204),
        ("HEAD", "/ping", 204),
        ("GET", "/ping?verbose=true", 200),
        ("GET", "/ping?verbose=0", 204),
    ],
)
def test_ping(web: Web, method: str, path: str, status: int):
    reply = web.ask(method, path)
    assert reply.status == status
    assert reply.headers["x-influxdb-version"] == "1.8.10"
    assert reply.json == ({"version": "1.8.10"} if status == 200 else None)


@pytest.mark.parametrize(
    ("query", "status", "expected"),
    [
        ('CREATE DATABASE "telegraf"', 200, {"results": [{"statement_id": 0}]}),
        (
            "create database a; CREATE DATABASE b;",
            200,
            {"results": [{"statement_id": 0}, {"statement_id": 1}]},
        ),
        ("", 400, {"error": 'missing required parameter "q"'}),
        (
            "SELECT 1",
            400,
            {
                "error": "error parsing query: unsupported statement 'SELECT 1'; "
                "values are read from /collect, /api/v1/devices or /prometheus"
            },
        ),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_query(web: Web, query: str, status: int, expected: dict[str, Any], method: str):
    text = query.replace(" ", "+").replace(";", "%3B")
    if method == "GET":
        reply = web.ask("GET", f"/query?q={text}")
    else:
        fields = {"Content_Type": "application/x-www-form-urlencoded"}
        reply = post(web, "/query", f"q={text}", **fields)
    assert (reply.status, reply.json) == (status, expected)


def test_the_database_that_is_asked_for_exists(web: Web):
    reply = web.ask("GET", "/query?db=home&q=SHOW%20DATABASES")
    assert reply.json["results"][0]["series"][0]["values"] == [["tributary"], ["home"]]


@pytest.fixture
def secret(web: Web, web_client: redis.Redis) -> Iterator[str]:
    made = tokens.create(web_client, Token("car", "", "car-7", ("record",), 0))
    paths = (V1, f"{V1}&p={made}")
    wait_until(
        lambda: [post(web, path, "").status for path in paths] == [401, 204],
        "this token to be required",
    )
    yield made
    tokens.revoke(web_client, "car")
    wait_until(lambda: post(web, V1, "").status == 204, "tokens to be gone")


def test_tokens(web: Web, secret: str, accepted: Accepted):
    basic = base64.b64encode(f"any:{secret}".encode()).decode()
    before = accepted()
    for value in (f"Token {secret}", f"Bearer {secret}", f"Basic {basic}"):
        for path in (V1, V2, V3):
            assert post(web, path, LINE, Authorization=value).status == 204
    assert post(web, f"{V1}&p={secret}", LINE).status == 204
    assert post(web, f"{V1}&u=any&p={secret}", LINE).status == 204
    assert accepted() == before + 11
    for path in (V1, f"{V1}&p=wrong", V2, V3, "/query?q=SHOW+DATABASES"):
        reply = post(web, path, gzip.compress(b" " * 2_000_000), Content_Encoding="gzip")
        assert reply.status == 401, path
        basic_realm = 'Basic realm="InfluxDB"'
        is_v1 = path.startswith(("/write", "/query"))
        assert reply.headers["www-authenticate"] == (basic_realm if is_v1 else "Bearer")
    v2 = post(web, V2, LINE).json
    assert v2["code"] == "unauthorized"
    assert v2["message"].startswith("unauthorized access")
    assert post(web, V1, LINE).json["error"].startswith("authorization failed")
    other = post(web, f"{V2}&p={secret}", LINE.replace("car-7", "car-8"))
    assert (other.status, other.json["code"]) == (403, "forbidden")
    assert web.ask("GET", "/ping").status == 204


@pytest.fixture(params=[True, False], ids=["lane", "flask"])
def limited(start_web: Callable[..., Web], request: pytest.FixtureRequest) -> Web:
    return start_web(lane=request.param, rate_per_device=0.001, series_max=1)


def test_overload_is_503_for_v1_and_429_for_v2(limited: Web):
    """Telegraf drops on any 4xx of `/write`, and waits for Retry-After at `/api/v2/write`."""

    def reject(path: str) -> Reply | None:
        reply = post(limited, path, LINE)
        return reply if reply.status not in (204, 400, 422) else None

    for path, status, key in ((V1, 503, "error"), (V2, 429, "code"), (V3, 429, "error")):
        reply = wait_until(lambda path=path: reject(path), "the rate to be exceeded")
        assert reply.status == status
        assert int(reply.headers["retry-after"]) >= 1
        assert key in reply.json
        assert "partial write" not in str(reply.json)
