"""haproxy.cfg fits compose.yaml and the roles. tests/engine starts it."""

from __future__ import annotations

import json
import re

import msgspec

from deploy import composefile
from tributary.http.error_body import ErrorBody
from tributary.http.lane.head import BLOCK_MAX_BYTES
from tributary.process import http_server
from tributary.settings import Settings

TEXT = (composefile.FOLDER / "haproxy.cfg").read_text()
PROXY = composefile.services()["proxy"]


def seconds(directive: str) -> float:
    found = re.findall(rf"^    {directive} (\d+)s$", TEXT, re.MULTILINE)
    assert len(found) == 1, directive
    return float(found[0])


def test_every_variable_is_set_and_every_path_is_mounted():
    assert set(re.findall(r"\$\{?(\w+)\}?", TEXT)) == PROXY["environment"].keys()
    mounted = [mount.split(":")[1] for mount in PROXY["volumes"]]
    assert PROXY["command"][-1] in mounted
    assert set(re.findall(r"(?:crt|key)-base (\S+)", TEXT)) <= set(mounted)


def test_it_listens_on_the_published_ports_and_serves_the_two_roles():
    inner = {port.split(":")[-1] for port in PROXY["ports"]}
    assert set(re.findall(r"bind :(80\d\d)", TEXT)) == inner
    servers = re.findall(r"server-template (\w+) 16 (\w+):(\d+)", TEXT)
    port = "".join(composefile.final_stage("Dockerfile.ingest")["EXPOSE"])
    assert servers == [(role, role, port) for role in ("ingest", "api")]
    assert PROXY["depends_on"].keys() == {"ingest", "api"}


def test_its_limits_are_those_of_the_roles():
    settings = Settings()
    assert seconds("timeout http-request") * 1000 == settings.head_timeout_ms
    assert seconds("timeout http-keep-alive") * 1000 == settings.idle_timeout_ms
    assert seconds("timeout server") * 1000 > 2 * settings.history_timeout_ms
    assert seconds("timeout client") * 1000 > 2 * settings.body_timeout_ms
    (buffer,) = re.findall(r"tune.bufsize (\d+)", TEXT)
    assert int(buffer) - 1024 > BLOCK_MAX_BYTES + 2048  # HAProxy reserves 1,024 bytes
    stops_s = float(PROXY["stop_grace_period"].removesuffix("s"))
    assert http_server.GRACE_S < seconds("hard-stop-after") < stops_s


def test_a_request_that_may_have_been_executed_is_repeated_only_if_it_counts_once():
    ingest, api = TEXT.partition("\nbackend ingest")[2].split("\nbackend api")
    assert "disable-l7-retry unless { req.hdr(Idempotency-Key) -m found }" in ingest
    assert "disable-l7-retry unless { method GET HEAD }" in api
    assert re.findall(r"retry-on (.*)", TEXT) == ["conn-failure empty-response"]


def test_its_errors_have_the_standard_body():
    bodies = re.findall(r'application/json string "(.*?[^\\])"', TEXT)
    codes = [msgspec.json.decode(each.replace('\\"', '"'), type=ErrorBody) for each in bodies]
    assert {each.error.code for each in codes} == {
        "bad_request", "too_slow", "unavailable", "too_many_listeners",
    }  # fmt: skip
    assert all(json.loads(each.replace('\\"', '"'))["success"] is False for each in bodies)
