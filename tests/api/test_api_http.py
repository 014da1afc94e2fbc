"""The API over HTTP: collect, the list of devices, one device, health; it matches the document."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from random import SystemRandom

import msgspec
import pytest
from support.fuzz import fuzz
from support.processes import Deployment
from support.waiting import wait_until

from api.read.bodies import Devices, History, MetricWindow, WholeDevice
from tributary.history.database import Database
from tributary.operate.status import Status
from tributary.settings import Settings

NOW_MS = int(time.time() * 1000)


def test_collect_returns_nulls_before_the_first_reading(tmp_path: Path):
    up = Deployment(tmp_path / "data")
    status, body = up.get("/collect")
    assert status == 200
    assert body["current_engine_temperature"] is None
    assert body["average_engine_temperature"] is None
    assert up.get("/api/v1/devices") == (200, {"devices": [], "next": None})
    assert up.stop() == 0


def test_collect_accepts_post(deployment: Deployment):
    deployment.post("/record", {"device": "posted", "speed": 5})
    wait_until(lambda: deployment.post("/collect?device=posted")[0] == 200, "the reading")
    assert deployment.post("/collect?device=posted", b"{}")[1]["current_speed"] == 5.0


def test_an_unknown_device_is_404(deployment: Deployment):
    for device in ("never-seen", "{x}", "a%20b", "a" * 200):
        status, body = deployment.get(f"/collect?device={device}")
        assert status == 404, device
        assert body["error"]["code"] == "unknown_device"


def test_lists_devices_in_order_page_by_page(deployment: Deployment):
    names = [f"page:{number:03}" for number in range(25)]
    deployment.post("/record", [{"device": name, "speed": 1} for name in reversed(names)])
    seen: list[str] = []

    def listed() -> bool:
        seen.clear()
        after = ""
        while True:
            _, page = deployment.get(f"/api/v1/devices?prefix=page:&limit=10&after={after}")
            seen.extend(device["device"] for device in page["devices"])
            if page["next"] is None:
                return len(seen) == len(names)
            after = page["next"]

    wait_until(listed, "all devices")
    assert seen == names


def test_rejects_an_invalid_limit(deployment: Deployment):
    for limit in ("0", "-1", "1001", "ten", "1e3", "٣"):
        status, body = deployment.get(
            f"/api/v1/devices?limit={limit.encode().hex() if limit == '٣' else limit}"
        )
        assert status == 400
        assert body["error"]["field"] == "limit"


def test_a_device_has_every_metric_with_total_and_windows(deployment: Deployment):
    values = [80.0, 90.5, 95.5, 91.2]
    start_ms = NOW_MS - 30_000
    for number, value in enumerate(values):
        reading = {"device": "full", "recorded_at": start_ms + number * 1000, "temperature": value}
        assert deployment.post("/record", reading)[0] == 200

    def complete() -> dict | None:
        status, body = deployment.get("/api/v1/devices/full")
        metric = body.get("metrics", {}).get("temperature")
        return metric if status == 200 and metric["total"]["count"] == 4 else None

    metric = wait_until(complete, "four readings")
    assert metric["current"] == 91.2
    assert metric["average"] == statistics.fmean(values)
    assert metric["unit"] == "degC"
    total = metric["total"]
    assert (total["min"], total["max"]) == (80.0, 95.5)
    assert abs(total["stddev"] - statistics.stdev(values)) < 1e-9
    assert list(metric["windows"]) == ["1m", "15m", "1h", "24h"]
    for window in metric["windows"].values():
        assert window["from"] < window["to"]
    assert metric["windows"]["24h"]["count"] == 4


def test_finds_a_device_with_slashes_and_colons(deployment: Deployment):
    device = "building//3/room:4"
    deployment.post("/record", {"device": device, "temperature": 21.5})
    wait_until(lambda: deployment.get(f"/api/v1/devices/{device}")[0] == 200, "the device")


def test_health_and_readiness(deployment: Deployment):
    assert deployment.get("/healthz") == (200, {"healthy": True})
    assert deployment.get("/readyz") == (200, {"ready": True})


def test_bodies_have_the_fields_of_their_types_in_order(deployment: Deployment):
    deployment.post("/record", {"device": "typed", "speed": 1})
    wait_until(lambda: deployment.get("/collect?device=typed")[0] == 200, "the reading")
    device, metric = "/api/v1/devices/typed", "/api/v1/devices/typed/metrics/speed"
    for path, type_ in (
        ("/api/v1/status", Status),
        ("/api/v1/devices?prefix=typed", Devices),
        (device, WholeDevice),
        (metric, MetricWindow),
        (f"{metric}/history", History),
    ):
        body = deployment.get(path)[1]
        fields = msgspec.structs.fields(type_)
        assert list(body) == [each.encode_name for each in fields if each.encode_name in body], path
        assert {each.encode_name for each in fields if each.required} <= body.keys()
        msgspec.convert(body, type_)


@pytest.mark.slow
def test_every_response_matches_the_document(deployment: Deployment):
    deployment.post("/record", [{"device": "car-7", "engine_temperature": 92.3, "speed": 72}])
    # Long windows are 503 until a job has created the history.
    Database.open(Settings(data_dir=str(deployment.data_dir)), migrate=True).close()
    seed = SystemRandom().randrange(1_000_000)
    outcome = fuzz(deployment.url, 2, seed, phases="fuzzing")  # scripts/fuzz: all
    assert outcome.is_clean, outcome.text
    assert outcome.cases > 100
    assert "action=internal_error" not in deployment.process.text
