"""Protection against pages of other sites: host names and cross-site writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis
from support.processes import Server
from support.webs import Web

from tributary import settings
from tributary.auth import browsers, tokens
from tributary.auth.tokens import Token
from tributary.errors import Misconfigured, Refused
from tributary.settings import Settings

POLICY = browsers.Policy(
    browsers.parse_hosts("tributary.example.com, ingest"),
    frozenset({"https://app.example"}),
)


@pytest.mark.parametrize(
    "host",
    [
        None, "", "127.0.0.1", "127.0.0.1:8000", "[::1]", "[::1]:8000", "192.168.1.20:80",
        "[fe80::1]", "localhost", "localhost:8000", "LOCALHOST:1", "localhost.", "localhost.:80",
        "tributary.example.com", "Tributary.Example.COM:443", "tributary.example.com.", "ingest:8000",
    ],
)  # fmt: skip
def test_accepts_a_host_that_no_other_site_can_own(host: str | None):
    POLICY.check_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "rebind.test:8000", "localhost.evil.example", "127.0.0.1.nip.io",
        "0x7f.1", "127.1", "2130706433", "[evil]", "[::1].evil.example", "a.ingest", "ingest.",
        "ingest.evil.example", "api", "tributary.example.com.evil", "127.0.0.1@evil.example",
        "foo.localhost", " ", ":8000",
    ],
)  # fmt: skip
def test_rejects_any_other_host_and_names_the_setting(host: str):
    if host == "ingest.":
        POLICY.check_host(host)  # the same name, written as absolute
        return
    with pytest.raises(Refused, match="TRIBUTARY_PUBLIC_HOSTS") as refused:
        POLICY.check_host(host)
    assert (refused.value.status, refused.value.code) == (421, "unknown_host")


@pytest.mark.parametrize(
    ("fields", "is_cross"),
    [
        (("127.0.0.1:8000", None, None), False),
        (("127.0.0.1:8000", None, "none"), False),
        (("127.0.0.1:8000", None, "same-origin"), False),
        (("127.0.0.1:8000", None, "cross-site"), True),
        (("127.0.0.1:8000", None, " Cross-Site "), True),
        (("127.0.0.1:8000", "http://127.0.0.1:8000", "same-origin"), False),
        (("127.0.0.1:8000", "http://127.0.0.1:3000", "same-site"), True),
        (("127.0.0.1:8000", "http://localhost:8000", "cross-site"), True),
        (("127.0.0.1:8000", "https://evil.example", "cross-site"), True),
        (("127.0.0.1:8000", "null", "cross-site"), True),
        (("127.0.0.1:8000", "", None), True),
        (("127.0.0.1:8000", "https://app.example", "cross-site"), False),
        (("127.0.0.1:8000", "https://app.example.evil", None), True),
        (("tributary.example.com", "https://tributary.example.com", "same-origin"), False),
        (("tributary.example.com", "https://TRIBUTARY.example.com", None), False),
        (("127.0.0.1:8000", "file://127.0.0.1:8000", None), True),
        ((None, "https://evil.example", None), True),
    ],
)
def test_recognises_a_request_from_another_site(
    fields: tuple[str | None, str | None, str | None],
    is_cross: bool,  # noqa: FBT001 - a parameter of pytest
):
    """The fields are Host, Origin and Sec-Fetch-Site."""
    assert POLICY.is_cross_site(*fields) is is_cross


@pytest.mark.parametrize("text", ["https://a.example", "a.example:80", "*", "a b", "ü.example"])
def test_an_invalid_public_host_is_a_settings_error(text: str):
    with pytest.raises(Misconfigured, match="is not a host name"):
        settings.load({"TRIBUTARY_PUBLIC_HOSTS": f"fine.example,{text}"})


@pytest.fixture(scope="module", params=[True, False], ids=["lane", "flask"])
def web(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    server = Server(tmp_path_factory.mktemp("redis"))
    hosts = {"public_hosts": "known.example", "cors_origins": "https://app.example"}
    running = Web(Settings(redis_url=server.url, lane=request.param, **hosts))
    yield running
    running.close()
    server.close()


PATHS = (
    "/collect", "/api/v1/devices", "/api/v1/status", "/api/v1/live?device=a", "/healthz",
    "/readyz", "/metrics", "/openapi.json", "/docs", "/", "/dashboard/main.js", "/no-such-path",
)  # fmt: skip


def test_every_route_rejects_an_unknown_host(web: Web):
    for path in PATHS:
        reply = web.get(path, Host="evil.example")
        assert (reply.status, reply.code) == (421, "unknown_host"), path
    reply = web.record({"a": 1}, Host="evil.example")
    assert (reply.status, reply.code) == (421, "unknown_host")
    assert web.ask("OPTIONS", "/record", Host="evil.example").status == 421
    assert web.get("/healthz", Host="known.example:80").status == 200


def test_rejects_writes_from_another_site_but_not_reads(web: Web):
    for fields in (
        {"Sec_Fetch_Site": "cross-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1", "Sec_Fetch_Site": "same-site"},
    ):
        for _ in range(2):  # the second time, the lane has cached the header block
            reply = web.record({"a": 1}, **fields)
            assert (reply.status, reply.code) == (403, "cross_site"), fields
        assert web.get("/collect", **fields).status == 200


def test_accepts_writes_from_non_browsers_own_pages_and_listed_origins(web: Web):
    own = f"http://127.0.0.1:{web.port}"
    for fields in (
        {},
        {"Origin": own, "Sec_Fetch_Site": "same-origin"},
        {"Origin": "https://app.example", "Sec_Fetch_Site": "cross-site"},
        {"Host": "known.example", "Origin": "https://known.example"},  # a proxy terminates TLS
    ):
        assert web.record({"a": 1}, **fields).status == 200, fields


def test_checks_neither_where_tokens_are_required(
    client: redis.Redis, change: Callable[..., Settings]
):
    secret = tokens.create(client, Token("t", "", "*", ("record", "collect"), 0))
    for lane in (True, False):
        web = Web(change(lane=lane))
        try:
            fields = {"Host": "evil.example", "Origin": "https://evil.example"}
            assert web.record({"a": 1}, secret, **fields).status == 200
            assert web.get("/healthz", Host="evil.example").status == 200
        finally:
            web.close()
