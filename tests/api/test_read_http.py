"""The read API over HTTP: windows, history, ETags, parameters, staleness, CORS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from support.processes import Deployment, Reply, exchange
from support.waiting import wait_until

from tributary.model.clock import utc_ms

METRIC = "/api/v1/devices/{}/metrics/{}"
FILE = """
[quick]
unit = "km/h"
plausible = [0, 100]
stale_after_ms = 1
[slow]
unit = "degC"
stale_after_ms = 600_000
description = "A slow metric"
[newest]
keep = "latest"
[recent]
keep = "windows"
"""


def send(url: str, path: str, method: str = "GET", **headers: str) -> Reply:
    return exchange(url, method, path, **headers)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment with its own catalogue that allows one origin."""
    folder = tmp_path_factory.mktemp("read")
    (folder / "metrics.toml").write_text(FILE)
    environ = {
        "TRIBUTARY_METRICS_FILE": str(folder / "metrics.toml"),
        "TRIBUTARY_STALE_AFTER_MS": "600000",
        "TRIBUTARY_CORS_ORIGINS": "https://app.example",
    }
    running = Deployment(folder / "data", environ=environ)
    yield running
    assert running.stop() == 0


def record(up: Deployment, device: str, *readings: dict[str, Any]) -> None:
    """Record readings of a device, and wait until they are applied."""
    assert up.post("/record", [{"device": device, **reading} for reading in readings])[0] == 200
    path = f"/api/v1/devices/{device}"

    def are_applied() -> bool:
        metrics = up.get(path)[1].get("metrics", {})
        return sum(m["total"]["count"] for m in metrics.values()) >= sum(
            len(reading.keys() - {"recorded_at"}) for reading in readings
        )

    wait_until(are_applied, "the readings")


def test_a_window_may_have_any_length(up: Deployment):
    now = utc_ms()
    ages_s = [1, 100, 1000, 5000, 50_000]
    record(up, "any", *({"recorded_at": now - s * 1000, "slow": s} for s in ages_s))
    for window, count in (("50s", 1), ("5m", 2), ("30m", 3), ("12h", 4), ("24h", 5)):
        status, found = up.get(f"{METRIC.format('any', 'slow')}?window={window}")
        assert (status, found["window"], found["count"]) == (200, window, count)
        assert found["from"] < found["to"]
        assert found["unit"] == "degC"


def test_history_has_each_slot_with_readings_once(up: Deployment):
    now = utc_ms()
    record(up, "slots", *({"recorded_at": now - n * 12_000, "slow": n} for n in range(4)))
    path = f"{METRIC.format('slots', 'slow')}/history?window=1m"
    status, found = up.get(path)
    assert (status, found["slot_ms"]) == (200, 5_000)
    starts = [slot["from"] for slot in found["slots"]]
    assert starts == sorted(set(starts))
    assert [slot["count"] for slot in found["slots"]] == [1, 1, 1, 1]
    assert [slot["mean"] for slot in found["slots"]] == [3, 2, 1, 0]


def test_the_window_is_optional(up: Deployment):
    record(up, "defaults", {"slow": 1})
    path = METRIC.format("defaults", "slow")
    assert up.get(path)[1]["window"] == "15m"
    assert up.get(f"{path}/history")[1]["window"] == "1h"


def test_a_metric_of_which_only_the_latest_values_are_kept_has_no_slots(up: Deployment):
    record(up, "kept", *({"newest": n, "recent": n} for n in range(3)))
    assert up.get("/collect?device=kept")[1]["average_newest"] == 1.0
    metrics = up.get("/api/v1/devices/kept")[1]["metrics"]
    found = metrics["newest"]
    assert (found["current"], found["average"], found["total"]["count"]) == (2.0, 1.0, 3)
    assert found["windows"] == {}
    assert [window["count"] for window in metrics["recent"]["windows"].values()] == [3] * 4
    path = METRIC.format("kept", "newest")
    for more in ("", "?window=1m", "/history", "/history?from=0&to=2026-11-20T00:00:00Z"):
        status, rejected = up.get(path + more)
        assert (status, rejected["error"]["code"]) == (400, "not_kept")
        assert 'keep = "latest"' in rejected["error"]["message"]
    assert up.get(path + "?window=x")[1]["error"]["code"] == "invalid_window"
    assert up.get(METRIC.format("none", "newest"))[1]["error"]["code"] == "unknown_device"


def test_a_metric_of_which_windows_are_kept_has_no_history_beyond_them(up: Deployment):
    record(up, "windows", {"recent": 1, "newest": 1})
    path = METRIC.format("windows", "recent")
    assert up.get(path + "?window=24h")[1]["count"] == 1
    assert len(up.get(path + "/history?window=24h")[1]["slots"]) == 1
    for more in ("?window=7d", "/history?window=7d", "/history?from=0"):
        status, rejected = up.get(path + more)
        assert status == 400
        assert "within the last 24h" in rejected["error"]["message"]
        assert 'keep = "windows"' in rejected["error"]["message"]
    assert up.get("/prometheus/api/v1/query?query=newest")[1]["data"]["result"] != []
    status, rejected = up.get("/prometheus/api/v1/query?query=avg_over_time(newest[5m])")
    assert (status, rejected["errorType"]) == (422, "execution")
    assert 'keep = "latest"' in rejected["error"]
    both = 'avg_over_time({__name__=~"newest|recent"}[5m])'
    infos = up.get(f"/prometheus/api/v1/query?query={quote(both)}")[1]["infos"]
    assert 'newest: left out, because of keep = "latest"' in infos


def test_each_metric_has_its_own_stale_age(up: Deployment):
    record(up, "ages", {"recorded_at": utc_ms() - 2_000, "slow": 1, "quick": 2, "other": 3})
    _, found = up.get("/api/v1/devices/ages")
    stale = {name: metric["stale"] for name, metric in found["metrics"].items()}
    assert stale == {"slow": False, "quick": True, "other": False}
    assert found["stale"] is False


def test_unit_description_and_plausibility_come_from_the_catalogue(up: Deployment):
    record(up, "known", {"slow": 20, "quick": 100.5, "other": 3})
    metrics = up.get("/api/v1/devices/known")[1]["metrics"]
    found = {n: [m["unit"], m["description"], m["plausible"]] for n, m in metrics.items()}
    assert found == {
        "slow": ["degC", "A slow metric", None],
        "quick": ["km/h", None, False],
        "other": [None, None, None],
    }


def test_narrows_to_the_requested_metrics(up: Deployment):
    record(up, "narrow", {"slow": 20, "quick": 50, "other": 3})
    found = up.get("/collect?device=narrow&metrics=other,unknown")[1]
    assert [name for name in found if name.startswith("current_")] == ["current_other"]
    assert found["age_ms"] >= 0
    found = up.get("/api/v1/devices/narrow?metrics=quick,slow,unknown")[1]
    assert list(found["metrics"]) == ["quick", "slow"]
    assert up.get("/api/v1/devices/narrow?metrics=unknown")[1]["metrics"] == {}


def test_converts_units_on_every_route(up: Deployment):
    record(up, "units", {"slow": 10, "quick": 36}, {"slow": 20, "quick": 72})
    found = up.get("/collect?device=units&unit=degF,m/s")[1]
    assert found["current_slow"] == 68.0
    assert found["average_quick"] == 15.0
    slow = up.get("/api/v1/devices/units?unit=degF")[1]["metrics"]["slow"]
    assert (slow["unit"], slow["current"], slow["total"]["max"]) == ("degF", 68.0, 68.0)
    plain = up.get(METRIC.format("units", "slow"))[1]
    converted = up.get(METRIC.format("units", "slow") + "?unit=degF")[1]
    assert converted["stddev"] == plain["stddev"] * 1.8
    slots = up.get(METRIC.format("units", "slow") + "/history?unit=degF")[1]["slots"]
    assert [slot["mean"] for slot in slots if slot["count"]] == [59.0]
    for metric in ("quick", "other"):
        status, rejected = up.get(METRIC.format("units", metric) + "?unit=degF")
        assert (status, rejected["error"]["code"]) == (400, "invalid_unit")


@pytest.mark.parametrize(
    "path",
    ["/collect?device=tags", "/collect?device=tags&metrics=slow&unit=K", "/api/v1/devices/tags"]
    + [METRIC.format("tags", "slow") + more for more in ("?window=24h", "/history?window=24h")],
)
def test_responds_with_304_to_a_matching_etag(up: Deployment, path: str):
    record(up, "tags", {"slow": 1})

    def unchanged() -> Reply | None:
        """A slot may leave a window between the two requests, rarely twice in a row."""
        again = send(up.url, path, If_None_Match=send(up.url, path).headers["etag"])
        return again if again.status == 304 else None

    first = send(up.url, path)
    assert first.headers["cache-control"] == "max-age=1"
    reply = wait_until(unchanged, "304")
    assert reply is not None
    assert reply.json is None
    assert reply.headers["cache-control"] == "max-age=1"
    assert send(up.url, path, If_None_Match='W/"other"').status == 200
    assert send(up.url, path, "HEAD", If_None_Match="*").status == 304
    up.post("/record", {"device": "tags", "slow": utc_ms()})
    wait_until(lambda: send(up.url, path).headers["etag"] != first.headers["etag"], "a new ETag")


def test_a_post_ignores_if_none_match(up: Deployment):
    record(up, "posted", {"slow": 1})
    assert send(up.url, "/collect?device=posted", "POST", If_None_Match="*").status == 200


def test_an_unknown_metric_is_404(up: Deployment):
    record(up, "partly", {"slow": 1})
    for device, metric, code in (
        ("partly", "quick", "unknown_metric"),
        ("partly", "1st", "unknown_metric"),
        ("partly", "device", "unknown_metric"),
        ("never", "slow", "unknown_device"),
        ("%7Bx%7D", "slow", "unknown_device"),
    ):
        for more in ("", "/history"):
            status, body = up.get(METRIC.format(device, metric) + more)
            assert (status, body["error"]["code"]) == (404, code), (device, metric)


def test_only_listed_origins_may_read(up: Deployment):
    allowed = send(up.url, "/collect", Origin="https://app.example")
    assert allowed.headers["access-control-allow-origin"] == "https://app.example"
    for path in ("/collect", "/api/v1/devices?limit=0", "/nowhere"):
        assert (
            "access-control-allow-origin"
            in send(up.url, path, Origin="https://app.example").headers
        )
        other = send(up.url, path, Origin="https://evil.example")
        assert "access-control-allow-origin" not in other.headers
        assert other.headers["vary"] == "Origin"
    preflight = send(
        up.url,
        "/collect",
        "OPTIONS",
        Origin="https://app.example",
        Access_Control_Request_Method="GET",
    )
    assert preflight.status == 200
    assert "Authorization" in preflight.headers["access-control-allow-headers"]


def test_no_origin_may_read_by_default(deployment: Deployment):
    reply = send(deployment.url, "/collect", Origin="https://app.example")
    assert not [name for name in reply.headers if name.startswith("access-control")]
    assert "vary" not in reply.headers


def test_an_invalid_catalogue_prevents_the_start_with_every_error(tmp_path: Path, run: Any):
    broken = tmp_path / "metrics.toml"
    broken.write_text('[speed]\nunits = "km/h"\nplausible = [1, 0]\n')
    process = run("up", "--port", "0", environ={"TRIBUTARY_METRICS_FILE": str(broken)})
    assert process.end() == 2
    assert "did you mean unit?" in process.text
    assert "plausible = [1, 0]: the first must be smaller" in process.text
