"""`POST /record` over HTTP: every format, every error, one error body."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any

import pytest
from support.processes import Deployment, request
from support.waiting import wait_until

NOW_MS = int(time.time() * 1000)


def metrics_of(up: Deployment, device: str) -> dict[str, Any]:
    status, response = up.get(f"/api/v1/devices/{device}")
    return response["metrics"] if status == 200 else {}


def counted(up: Deployment, device: str, metric: str, count: int) -> dict[str, Any]:
    """The metric of a device once `count` readings of it are applied."""

    def found() -> dict[str, Any] | None:
        metric_ = metrics_of(up, device).get(metric)
        return metric_ if metric_ and metric_["total"]["count"] == count else None

    response = wait_until(found, f"{count} readings of {metric}")
    assert response is not None
    return response


def test_records_a_reading_with_device_time_and_metrics(deployment: Deployment):
    body = {
        "device": "formats/one",
        "recorded_at": "2026-01-02T03:04:05.678Z",
        "engine_temperature": 92.3,
        "engine_rpm": 2100,
    }
    assert deployment.post("/record", body) == (200, {"success": True})
    assert counted(deployment, "formats/one", "engine_rpm", 1)["current"] == 2100.0
    status, response = deployment.get("/collect?device=formats/one")
    assert status == 200
    assert response["recorded_at"] == "2026-01-02T03:04:05.678Z"
    assert response["stale"] is True
    assert list(response)[:4] == ["device", "recorded_at", "age_ms", "stale"]


def test_reports_the_size_of_an_array(deployment: Deployment):
    readings = [{"device": f"formats/array-{n % 3}", "speed": n} for n in range(30)]
    assert deployment.post("/record", readings) == (200, {"success": True, "accepted": 30})
    for device in range(3):
        counted(deployment, f"formats/array-{device}", "speed", 10)


def test_readings_of_an_array_may_have_different_metrics(deployment: Deployment):
    readings = [
        {"device": "formats/mixed", "speed": 1},
        {"device": "formats/mixed", "rpm": 2, "recorded_at": NOW_MS - 1000},
        {"device": "formats/mixed", "speed": 3, "rpm": 4},
    ]
    assert deployment.post("/record", readings)[1] == {"success": True, "accepted": 3}
    assert counted(deployment, "formats/mixed", "rpm", 2)["current"] == 4.0


def test_records_lines(deployment: Deployment):
    body = b'{"device":"formats/lines","speed":1}\n\n{"device":"formats/lines","speed":2}\n'
    response = deployment.post("/record", body, Content_Type="application/x-ndjson")
    assert response == (200, {"success": True, "accepted": 2})
    assert counted(deployment, "formats/lines", "speed", 2)["total"]["mean"] == 1.5


def test_records_columns(deployment: Deployment):
    body = {
        "device": "formats/columns",
        "recorded_at": [NOW_MS + n for n in range(100)],
        "speed": list(range(100)),
        "rpm": [n / 2 for n in range(100)],
    }
    assert deployment.post("/record", body) == (200, {"success": True, "accepted": 100})
    speed = counted(deployment, "formats/columns", "speed", 100)
    assert speed["current"] == 99.0
    assert speed["average"] == 94.5
    assert counted(deployment, "formats/columns", "rpm", 100)["current"] == 49.5


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "text/plain;charset=UTF-8",
     "application/x-www-form-urlencoded", "Application/JSON", "application/octet-stream"],
)  # fmt: skip
def test_accepts_json_under_the_content_types_that_clients_send(
    deployment: Deployment, content_type: str
):
    response = deployment.post(
        "/record", b'{"device":"formats/types","x":1}', Content_Type=content_type
    )
    assert response == (200, {"success": True})


def test_accepts_json_without_a_content_type(deployment: Deployment):
    assert deployment.post("/record", b'{"device":"formats/untyped","x":1}') == (
        200,
        {"success": True},
    )


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{", {}, 400, "not_json"),
        (b"[1]", {}, 400, "wrong_shape"),
        (b"", {}, 400, "not_json"),
        (b'{"a":"x"}', {}, 422, "not_a_number"),
        (b'{"a":1e999}', {}, 422, "out_of_range"),
        (b'{"device":"{1}","a":1}', {}, 422, "invalid_device"),
        (b'{"recorded_at":"2026-11-22T10:00:00","a":1}', {}, 422, "invalid_time"),
        (b'{"recorded_at":4102444800,"a":1}', {}, 422, "in_future"),
        (b"<a>1</a>", {"Content_Type": "application/xml"}, 415, "unknown_content_type"),
        (b"a,b\n1,2", {"Content_Type": "text/csv"}, 415, "unknown_content_type"),
        (b'{"a":1}', {"Content_Type": "application/json; charset=latin-1"}, 415, "unknown_charset"),
        (b'{"a":1}', {"Content_Encoding": "br"}, 415, "unknown_content_encoding"),
        (b" " * 1_048_577, {}, 413, "body_too_large"),
        (b"[" + b'{"a":1},' * 10_000 + b'{"a":1}]', {}, 413, "too_many_readings"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_an_error_has_a_code_and_a_message(
    deployment: Deployment, body: bytes, headers: dict[str, str], status: int, code: str
):
    got, response = deployment.post("/record", body, **headers)
    assert got == status
    assert response["success"] is False
    assert response["error"]["message"]
    assert response["error"]["code"] == code


def test_an_error_names_the_reading_and_the_field(deployment: Deployment):
    readings = [{"speed": 1}, {"rpm": None}]
    status, response = deployment.post("/record", readings)
    assert status == 422
    assert response["error"]["index"] == 1
    assert response["error"]["field"] == "rpm"
    assert "null" in response["error"]["message"]


def test_stores_nothing_of_a_rejected_request(deployment: Deployment):
    readings = [
        {"device": "formats/refused", "speed": 1},
        {"device": "formats/refused", "speed": "x"},
    ]
    assert deployment.post("/record", readings)[0] == 422
    deployment.post("/record", {"device": "formats/refused", "speed": 7})
    assert counted(deployment, "formats/refused", "speed", 1)["current"] == 7.0


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_responds_to_other_methods_with_405(deployment: Deployment, method: str):
    status, response = request(deployment.url, method, "/record", None, {})
    assert status == 405
    assert response["error"]["code"] == "method_not_allowed"


def test_responds_to_an_unknown_path_with_404(deployment: Deployment):
    status, response = deployment.get("/nowhere")
    assert status == 404
    assert response["success"] is False


def test_the_exact_body_of_a_200(deployment: Deployment):
    with urllib.request.urlopen(deployment.url + "/record", b'{"device":"b","x":1}') as response:
        assert response.read() == b'{"success":true}'
        assert response.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("unit", [1, 1000, 1_000_000, 1_000_000_000], ids=["s", "ms", "us", "ns"])
def test_the_unit_of_a_time_follows_from_its_size(deployment: Deployment, unit: int):
    device = f"formats/unit-{unit}"
    body = json.dumps({"device": device, "recorded_at": 1_763_805_600 * unit, "x": 1}).encode()
    assert deployment.post("/record", body)[0] == 200
    assert counted(deployment, device, "x", 1)["recorded_at"] == "2025-11-22T10:00:00.000Z"
