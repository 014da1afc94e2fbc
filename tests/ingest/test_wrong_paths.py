"""A wrong path or method gets an error that names where readings go, on both front ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.webs import Web

from tributary.http import hints

CASES = [
    ("GET", "/recrod", 404, "not_found", "did you mean /record?"),
    ("POST", "/records", 404, "not_found", "did you mean /record?"),
    ("POST", "/Record", 404, "not_found", "did you mean /record?"),
    ("POST", "/record/telegraph", 404, "not_found", "did you mean /record/telegraf?"),
    ("POST", "/sensordata", 404, "not_found", "did you mean /sensor_data?"),
    ("POST", "/api/v2/wirte?org=a", 404, "not_found", "did you mean /api/v2/write?"),
    ("POST", "/nowhere", 404, "not_found", "unknown path '/nowhere'; readings go to POST /record"),
    ("POST", "/" + "record" * 500, 404, "not_found", "readings go to POST /record"),
    ("PUT", "/record", 405, "method_not_allowed", "does not support 'PUT'; use GET or POST"),
    ("GET", "/record", 405, "method_not_allowed", "GET /record?device="),
    ("DELETE", "/collect", 405, "method_not_allowed", "readings go to POST /record"),
    ("POST", "/", 405, "method_not_allowed", "readings go to POST /record"),
    ("GET", "/?hum=40.5", 400, "wrong_path", "GET /record?device="),
    ("GET", "/?device=a&status=ok", 400, "wrong_path", "POST /record"),
    ("GET", "/?token=secret-word", 400, "wrong_path", "not even 'token'"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(case[:2])[:40])
def test_names_the_path_that_takes_readings(
    web: Web, accepted: Callable[[], int], case: tuple[str, str, int, str, str]
):
    method, target, status, code, words = case
    before = accepted()
    for body in (None, b'{"a":1}'):
        reply = web.ask(method, target, body if method != "GET" else None)
        assert (reply.status, reply.code) == (status, code)
        message = reply.json["error"]["message"]
        assert words in message
        assert "/docs" in message or "GET /record" in message
        assert "secret-word" not in message
    assert accepted() == before


def test_the_dashboard_has_no_parameters(web: Web):
    assert web.get("/").status == web.get("/?").status == 200


def test_names_the_role_that_records():
    assert "POST /record of the ingest role" in hints.unknown_path("/recrod", {"/collect", "/"})
    assert "did you mean" not in hints.unknown_path("/x" * 60, {"/x" * 59})
