"""Exports over HTTP: made, written by the jobs process, and read by their link."""

from __future__ import annotations

import csv
import http.client
import io
import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from support.pipeline import environ
from support.processes import Process, Reply, Server, exchange, tributary
from support.waiting import wait_until
from support.webs import Web

from tributary.auth import tokens
from tributary.auth.tokens import Token
from tributary.settings import Settings

PATH = "/api/v1/exports"
ALL = ("record", "collect")


class Place:
    """HTTP, an aggregator and jobs as processes, with readings of four devices."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.server = Server(folder / "redis")
        self.settings = Settings(
            redis_url=self.server.url,
            heartbeat_ms=100,
            partitions=2,
            data_dir=str(folder),
            **changes,
        )
        variables = environ(self.settings)
        self.roles = [tributary(role, environ=variables) for role in ("aggregator", "jobs")]
        self.web = Web(self.settings)

    def create(self, token: str = "", **wanted: Any) -> Reply:
        return self.web.ask("POST", PATH, wanted, token)

    def done(self, token: str = "", **wanted: Any) -> dict[str, Any]:
        """Create an export, and wait until it has ended."""
        made = self.create(token, **wanted)
        assert made.status == 202, made
        path = made.headers["location"]

        def ended() -> dict[str, Any] | None:
            found = self.web.get(path, token).json
            return found if found["state"] in ("done", "failed") else None

        found = wait_until(ended, f"the end of the export; {self.roles[1].text[-500:]}")
        assert found is not None
        return found

    def rows(self, token: str = "", **wanted: Any) -> list[dict[str, str]]:
        found = self.done(token, **wanted)
        assert found["state"] == "done", found
        reply = self.web.get(found["link"])
        assert reply.status == 200
        rows = list(csv.DictReader(io.StringIO(reply.content.decode())))
        assert len(rows) == found["rows"]
        return rows

    def close(self) -> None:
        self.web.close()
        for process in self.roles:
            process.kill()
        self.server.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    running = Place(tmp_path_factory.mktemp("exports"))
    readings = [
        {"device": f"{kind}-{n}", "recorded_at": 1_795_341_600 + n, "speed": n, "rpm": 10 * n}
        for kind in ("car", "van")
        for n in (1, 2)
    ]
    assert running.web.record(readings).status == 200
    path = "/api/v1/status"
    wait_until(lambda: running.web.get(path).json["applied"] == 4, "the readings to be applied")
    yield running
    running.close()


@pytest.fixture
def secret(place: Place) -> Iterator[Callable[..., str]]:
    """Create a token; all are revoked after the test."""
    made: list[str] = []

    def create(pattern: str, *scopes: Any) -> str:
        made.append(secrets.token_hex(4))
        token = Token(made[-1], "", pattern, scopes or ALL, 0)
        found = tokens.create(place.server.client, token)
        wait_until(lambda: place.web.get("/api/v1/status", found).status != 401, "the token")
        wait_until(lambda: place.web.get("/api/v1/status").status == 401, "tokens to be required")
        return found

    yield create
    for name in made:
        tokens.revoke(place.server.client, name)
    wait_until(lambda: place.web.get("/api/v1/status").status == 200, "tokens not to be required")


def test_readings_by_pattern_metric_and_span(place: Place):
    found = place.done(devices="car-*,van-2", metrics=["speed"], to="2026-11-22T10:00:02Z")
    assert (found["state"], found["rows"], found["progress"]) == ("done", 1, 1.0)
    assert found["covered"]["from"] is None
    assert found["covered"]["to"] is not None
    reply = place.web.get(found["link"])
    assert reply.content.decode() == (
        "device,recorded_at,metric,value\ncar-1,2026-11-22T10:00:01.000Z,speed,1.0\n"
    )
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    assert reply.headers["content-length"] == str(found["size_bytes"])
    assert reply.headers["cache-control"] == "private, no-store"
    assert reply.headers["content-disposition"].startswith('attachment; filename="tributary-read')
    assert len(place.rows()) == 8


def test_other_formats(place: Place):
    lines = place.web.get(place.done(format="ndjson", devices="car-1")["link"]).content
    assert [json.loads(line)["value"] for line in lines.splitlines()] == [1.0, 10.0]
    content = place.web.get(place.done(format="parquet", devices="car-1")["link"]).content
    assert parquet.read_table(io.BytesIO(content)).column("value").to_pylist() == [1.0, 10.0]


def test_slots_once_the_history_has_them(place: Place):
    def rows() -> list[dict[str, str]] | None:
        wanted = {"what": "slots", "slot": "1h", "format": "ndjson", "metrics": "speed"}
        found = place.done(**wanted)
        if found["state"] == "failed":  # nothing has created the history yet
            assert "tributary jobs" in found["error"]["message"]
        place.web.ask("DELETE", f"{PATH}/{found['id']}")
        return found if found["rows"] == 4 else None

    found = wait_until(rows, "the slots of four devices", 90)
    assert found is not None
    assert (found["state"], found["slot"]) == ("done", "1h")
    assert found["covered"]["to"] is not None


def test_head_has_no_body(place: Place):
    reply = place.web.ask("HEAD", place.done(devices="car-1")["link"])
    assert (reply.status, reply.content) == (200, b"")


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b"", "not_json", None),
        (b"[" * 100_000, "not_json", None),
        (b"[]", "wrong_shape", None),
        ({"url": "http://169.254.169.254/"}, "unknown_field", "url"),
        ({"\ud800": 1}, "not_json", None),
        ({"devices": "../../etc"}, None, None),
        ({"devices": "a;b"}, "invalid_devices", "devices"),
        ({"from": "now"}, "invalid_from", "from"),
        ({"slot": "1h"}, "invalid_slot", "slot"),
    ],
)
def test_what_is_refused(place: Place, body: Any, code: str | None, field: str | None):
    reply = place.web.ask("POST", PATH, body)
    if code is None:  # a valid name, which selects no device and no path
        assert reply.status == 202
        return
    assert (reply.status, reply.code, reply.json["error"].get("field")) == (400, code, field)


@pytest.mark.parametrize("id_", ["0" * 32, "..%2f..%2fredis", "%2e%2e", "a", "A" * 32])
def test_unknown_ids_are_404(place: Place, id_: str):
    for method, path in (("GET", id_), ("DELETE", id_), ("GET", f"{id_}/file?secret=x")):
        assert place.web.ask(method, f"{PATH}/{path}").status == 404


def test_the_file_needs_the_secret(place: Place):
    link = place.done(devices="car-1")["link"]
    path, _, secret = link.partition("?secret=")
    assert len(secret) >= 43  # 256 random bits
    for query in ("", "?secret=", f"?secret={secret[:-1]}", f"?secret={secret}x", "?secret=%ff"):
        reply = place.web.get(path + query)
        assert (reply.status, reply.code) == (404, "unknown_export")
    assert secret not in place.web.process.text


def test_deleted_exports_are_gone(place: Place):
    found = place.done(devices="car-1")
    path = f"{PATH}/{found['id']}"
    assert found["id"] in [one["id"] for one in place.web.get(PATH).json["exports"]]
    assert place.web.ask("DELETE", path).status == 204
    for gone in (path, found["link"]):
        assert place.web.get(gone).status == 404
    folder = Path(place.settings.data_dir) / "exports"
    assert not list(folder.glob(f"{found['id']}*"))
    assert found["id"] not in [one["id"] for one in place.web.get(PATH).json["exports"]]


def test_a_file_that_is_not_here_is_503(place: Place):
    found = place.done(devices="car-1")
    (file,) = (Path(place.settings.data_dir) / "exports").glob(f"{found['id']}*")
    file.unlink()
    reply = place.web.get(found["link"])
    assert (reply.status, reply.code) == (503, "unavailable")
    assert "TRIBUTARY_EXPORT_DIR" in reply.json["error"]["message"]


def test_writes_of_other_sites_are_refused_without_tokens(place: Place):
    found = place.done(devices="car-1")
    origin = {"Origin": "https://evil.example"}
    assert place.web.ask("POST", PATH, {}, **origin).code == "cross_site"
    assert place.web.ask("DELETE", f"{PATH}/{found['id']}", **origin).code == "cross_site"


def test_a_token_exports_its_devices_only(place: Place, secret: Callable[..., str]):
    cars = secret("car-*")
    assert {row["device"] for row in place.rows(cars)} == {"car-1", "car-2"}
    assert {row["device"] for row in place.rows(cars, devices="*-2")} == {"car-2"}
    for devices in ("van-*", "van-1", ["car-1", "van-1"]):
        reply = place.create(cars, devices=devices)
        assert (reply.status, reply.code) == (403, "wrong_device")
    reply = place.create(secret("*", "record"))
    assert (reply.status, reply.code) == (403, "wrong_scope")


def test_another_token_cannot_see_an_export_except_by_its_link(
    place: Place, secret: Callable[..., str]
):
    mine, other = secret("*"), secret("*")
    found = place.done(mine, devices="car-1")
    path = f"{PATH}/{found['id']}"
    assert found["id"] not in [one["id"] for one in place.web.get(PATH, other).json["exports"]]
    assert [one["id"] for one in place.web.get(PATH, mine).json["exports"]] == [found["id"]]
    assert place.web.get(path, other).status == 404
    assert place.web.ask("DELETE", path, None, other).status == 404
    assert place.web.get(path).status == 401
    assert place.web.get(found["link"]).status == 200
    own = tokens.load(place.server.client).by_digest[tokens.digest_of(mine)]
    tokens.revoke(place.server.client, own.id)
    assert place.web.get(found["link"]).status == 404


def test_downloads_that_are_not_read_occupy_few_threads_and_little_memory(
    place: Place,
):
    folder = Path(place.settings.data_dir) / "exports"
    found = place.done(devices="car-1")
    (file,) = folder.glob(f"{found['id']}*")
    size_bytes = 64 * 1_048_576
    file.write_bytes(b"x" * size_bytes)
    place.server.client.hset(
        "tributary:exports", f"{found['id']}:state",
        json.dumps({"state": "done", "file": file.name, "size_bytes": size_bytes}),
    )  # fmt: skip
    slow = [_begun(place, found["link"]) for _ in range(2)]  # a quarter of eight threads
    reply = place.web.get(found["link"])
    assert (reply.status, reply.code) == (503, "overloaded")
    assert place.web.get(f"{PATH}/{found['id']}").status == 200
    for connection, response in slow:
        response.close()
        connection.close()
    wait_until(lambda: place.web.get(found["link"]).status == 200, "a download to be released")
    assert len(place.web.get(found["link"]).content) == size_bytes


def _begun(place: Place, link: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", place.web.port, timeout=30)
    connection.request("GET", link)
    response = connection.getresponse()
    assert response.read(10) == b"x" * 10
    return connection, response


def test_without_jobs_an_export_waits_and_a_full_queue_is_503(
    change: Callable[..., Settings], run: Callable[..., Process], tmp_path: Path
):
    settings = change(data_dir=str(tmp_path), jobs_url="redis://127.0.0.1:9/0")
    web = Web(settings)
    try:
        reply = web.ask("POST", PATH, {})
        assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        assert exchange(f"http://127.0.0.1:{web.port}", "GET", PATH).json == {"exports": []}
    finally:
        web.close()
