"""`POST /record` over HTTP: every form, every refusal, one shape of error."""

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
    status, answer = up.get(f"/api/v1/devices/{device}")
    return answer["metrics"] if status == 200 else {}


def counted(up: Deployment, device: str, metric: str, count: int) -> dict[str, Any]:
    """The metric of a device once so many readings of it are counted."""

    def found() -> dict[str, Any] | None:
        metric_ = metrics_of(up, device).get(metric)
        return metric_ if metric_ and metric_["total"]["count"] == count else None

    answer = wait_until(found, f"{count} readings of {metric}")
    assert answer is not None
    return answer


def test_one_reading_with_device_time_and_metrics(deployment: Deployment):
    body = {
        "device": "forms/one",
        "recorded_at": "2026-01-02T03:04:05.678Z",
        "engine_temperature": 92.3,
        "engine_rpm": 2100,
    }
    assert deployment.post("/record", body) == (200, {"success": True})
    assert counted(deployment, "forms/one", "engine_rpm", 1)["current"] == 2100.0
    status, answer = deployment.get("/collect?device=forms/one")
    assert status == 200
    assert answer["recorded_at"] == "2026-01-02T03:04:05.678Z"
    assert answer["stale"] is True
    assert list(answer)[:4] == ["device", "recorded_at", "age_ms", "stale"]


def test_an_array_tells_how_many_were_accepted(deployment: Deployment):
    readings = [{"device": f"forms/array-{n % 3}", "speed": n} for n in range(30)]
    assert deployment.post("/record", readings) == (200, {"success": True, "accepted": 30})
    for device in range(3):
        counted(deployment, f"forms/array-{device}", "speed", 10)


def test_readings_of_an_array_may_differ(deployment: Deployment):
    readings = [
        {"device": "forms/mixed", "speed": 1},
        {"device": "forms/mixed", "rpm": 2, "recorded_at": NOW_MS - 1000},
        {"device": "forms/mixed", "speed": 3, "rpm": 4},
    ]
    assert deployment.post("/record", readings)[1] == {"success": True, "accepted": 3}
    assert counted(deployment, "forms/mixed", "rpm", 2)["current"] == 4.0


def test_lines_are_readings(deployment: Deployment):
    body = b'{"device":"forms/lines","speed":1}\n\n{"device":"forms/lines","speed":2}\n'
    answer = deployment.post("/record", body, Content_Type="application/x-ndjson")
    assert answer == (200, {"success": True, "accepted": 2})
    assert counted(deployment, "forms/lines", "speed", 2)["total"]["mean"] == 1.5


def test_columns_are_many_samples_of_one_device(deployment: Deployment):
    body = {
        "device": "forms/columns",
        "recorded_at": [NOW_MS + n for n in range(100)],
        "speed": list(range(100)),
        "rpm": [n / 2 for n in range(100)],
    }
    assert deployment.post("/record", body) == (200, {"success": True, "accepted": 100})
    speed = counted(deployment, "forms/columns", "speed", 100)
    assert speed["current"] == 99.0
    assert speed["average"] == 94.5
    assert counted(deployment, "forms/columns", "rpm", 100)["current"] == 49.5


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "text/plain;charset=UTF-8",
     "application/x-www-form-urlencoded", "Application/JSON"],
)  # fmt: skip
def test_json_is_taken_whatever_clients_call_it(deployment: Deployment, content_type: str):
    answer = deployment.post(
        "/record", b'{"device":"forms/types","x":1}', Content_Type=content_type
    )
    assert answer == (200, {"success": True})


def test_no_content_type_is_needed(deployment: Deployment):
    assert deployment.post("/record", b'{"device":"forms/untyped","x":1}') == (
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
        (b'{"a":1}', {"Content_Type": "application/xml"}, 415, "unknown_content_type"),
        (b'{"a":1}', {"Content_Type": "application/json; charset=latin-1"}, 415, "unknown_charset"),
        (b'{"a":1}', {"Content_Encoding": "br"}, 415, "unknown_content_encoding"),
        (b" " * 1_048_577, {}, 413, "body_too_large"),
        (b"[" + b'{"a":1},' * 10_000 + b'{"a":1}]', {}, 413, "too_many_readings"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_a_refusal_says_what_and_why(
    deployment: Deployment, body: bytes, headers: dict[str, str], status: int, code: str | None
):
    answered, answer = deployment.post("/record", body, **headers)
    assert answered == status
    assert answer["success"] is False
    assert answer["error"]["message"]
    if code is not None:
        assert answer["error"]["code"] == code


def test_a_refusal_names_the_reading_and_the_field(deployment: Deployment):
    readings = [{"speed": 1}, {"speed": 2, "rpm": None}]
    status, answer = deployment.post("/record", readings)
    assert status == 422
    assert answer["error"]["index"] == 1
    assert answer["error"]["field"] == "rpm"
    assert "null" in answer["error"]["message"]


def test_nothing_of_a_refused_request_is_stored(deployment: Deployment):
    readings = [{"device": "forms/refused", "speed": 1}, {"device": "forms/refused", "speed": "x"}]
    assert deployment.post("/record", readings)[0] == 422
    deployment.post("/record", {"device": "forms/refused", "speed": 7})
    assert counted(deployment, "forms/refused", "speed", 1)["current"] == 7.0


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_405_as_json(deployment: Deployment, method: str):
    status, answer = request(deployment.url, method, "/record", None, {})
    assert status == 405
    assert answer["error"]["code"] == "method_not_allowed"


def test_an_unknown_path_is_404_as_json(deployment: Deployment):
    status, answer = deployment.get("/nowhere")
    assert status == 404
    assert answer["success"] is False


def test_the_body_of_a_success_is_exactly_this(deployment: Deployment):
    with urllib.request.urlopen(deployment.url + "/record", b'{"device":"b","x":1}') as response:
        assert response.read() == b'{"success":true}'
        assert response.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("unit", [1, 1000, 1_000_000, 1_000_000_000], ids=["s", "ms", "us", "ns"])
def test_the_unit_of_a_time_is_told_by_its_size(deployment: Deployment, unit: int):
    device = f"forms/unit-{unit}"
    body = json.dumps({"device": device, "recorded_at": 1_763_805_600 * unit, "x": 1}).encode()
    assert deployment.post("/record", body)[0] == 200
    assert counted(deployment, device, "x", 1)["recorded_at"] == "2025-11-22T10:00:00.000Z"
