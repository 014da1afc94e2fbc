"""The calls of Grafana's data source for Prometheus, as its documentation and source show them."""

from __future__ import annotations

import base64
import json
import re
import statistics
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from support.folding import aggregate
from support.history import archive
from support.processes import HOSTS, Reply, Server
from support.waiting import wait_until
from support.webs import Web

from tributary.auth import tokens
from tributary.auth.tokens import Token
from tributary.history.database import Database
from tributary.model.clock import utc_ms
from tributary.settings import Settings

MINUTE_MS = 60_000
FORM = "application/x-www-form-urlencoded"


class Fleet:
    """A server with two cars, one of them silent for 20 minutes, and a room with old readings."""

    def __init__(self, server: Server, data_dir: str) -> None:
        self.server = server
        settings = Settings(
            redis_url=server.url, data_dir=data_dir, public_hosts=HOSTS, partitions=2
        )
        self.web = Web(settings)
        self.now_ms = utc_ms()
        self.first_ms = (self.now_ms // MINUTE_MS - 120) * MINUTE_MS
        self.speeds = [float(minute * 7 % 50) for minute in range(120)]
        readings: list[dict[str, Any]] = [
            {
                "device": device,
                "recorded_at": self.first_ms + minute * MINUTE_MS + 500,
                "speed": speed,
            }
            for device, count in (("car-7", 120), ("car-8", 100))
            for minute, speed in enumerate(self.speeds[:count])
        ]
        readings += [
            {"device": "car-7", "recorded_at": self.now_ms - 300, "speed": 81.5, "gyro.x": -1.5},
            {"device": "car-7", "recorded_at": self.now_ms - 200, "speed": 82.5},
        ]
        readings += [  # more than the newest ten, which are stored one by one
            {
                "device": "room/1",
                "recorded_at": self.now_ms - age_days * 86_400_000,
                "temperature": 20,
            }
            for age_days in range(29, 41)
        ]
        assert self.web.record(readings).status == 200
        aggregate(settings, server.client)
        Database.open(settings, migrate=True).close()
        archive(settings)

    def get(self, path: str, parameters: Any = (), token: str = "", **headers: str) -> Reply:
        query = f"?{urlencode(parameters, doseq=True)}" if parameters else ""
        return self.web.get(f"/prometheus/api/v1/{path}{query}", token, **headers)

    def post(self, path: str, **parameters: Any) -> Reply:
        body = urlencode(parameters, doseq=True).encode()
        return self.web.ask("POST", f"/prometheus/api/v1/{path}", body, Content_Type=FORM)

    def result(self, query: str, **parameters: Any) -> list[Any]:
        """The result of an instant query, by device."""
        reply = self.post("query", query=query, **parameters)
        assert reply.status == 200, reply
        return [
            (one["metric"].get("device", ""), one["value"][1])
            for one in reply.json["data"]["result"]
        ]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    server = Server(tmp_path_factory.mktemp("redis"))
    running = Fleet(server, str(tmp_path_factory.mktemp("data")))
    yield running
    running.web.close()
    server.close()


def test_save_and_test(fleet: Fleet):
    health = fleet.post("query", query="1+1", time="4")
    assert health.content == (
        b'{"status":"success","data":{"resultType":"scalar","result":[4,"2"]}}'
    )
    assert fleet.get("status/buildinfo").json["data"]["version"] == "2.55.0"


def test_label_browser_and_variables(fleet: Fleet):
    hour = {"start": str(fleet.now_ms / 1000 - 3600), "end": str(fleet.now_ms / 1000)}
    for path, parameters, expected in (
        ("label/__name__/values", hour, ["gyro.x", "speed"]),
        ("label/__name__/values", {}, ["gyro.x", "speed", "temperature"]),
        ("label/device/values", {"match[]": "speed"}, ["car-7", "car-8"]),
        (
            "label/device/values",
            {"match[]": ["speed", "temperature"]},
            ["car-7", "car-8", "room/1"],
        ),
        ("label/device/values", {**hour, "match[]": '{__name__=~"sp.*"}'}, ["car-7", "car-8"]),
        ("label/job/values", {}, []),
        ("labels", {"match[]": '{device="car-8"}'}, ["__name__", "device"]),
        ("labels", {"match[]": "nothing"}, []),
        ("series", {"match[]": '{"gyro.x"}'}, [{"__name__": "gyro.x", "device": "car-7"}]),
    ):
        assert fleet.get(path, parameters).json == {"status": "success", "data": expected}
    for path in ("labels", "series"):
        same = {"match[]": "speed", **hour}
        assert fleet.post(path, **same).json == fleet.get(path, same).json
    short = fleet.get("label/device/values", {"limit": 1}).json
    assert (short["data"], short["warnings"]) == (["car-7"], ["results truncated due to limit"])
    unit = fleet.get("metadata", {"metric": "engine_temperature"}).json["data"]
    assert unit["engine_temperature"][0]["unit"] == "degC"
    assert len(fleet.get("metadata", {"limit": 2}).json["data"]) == 2
    assert fleet.get("metadata", {"limit": "-1"}).json["data"]["speed"][0]["type"] == "gauge"


def test_a_panel_shows_the_readings_of_each_minute(fleet: Fleet):
    last = fleet.first_ms // 1000 + 119 * 60
    reply = fleet.post(
        "query_range", query="speed", start=str(fleet.first_ms / 1000 + 60), end=last, step="60"
    )
    assert reply.json.keys() == {"status", "data"}
    series = {one["metric"]["device"]: one["values"] for one in reply.json["data"]["result"]}
    assert [float(text) for _, text in series["car-7"]] == fleet.speeds[:119]
    assert [time_s for time_s, _ in series["car-7"][:2]] == [last - 118 * 60, last - 117 * 60]
    assert len(series["car-8"]) == 104  # stale five minutes after the last reading
    reply = fleet.post(
        "query_range",
        query='stddev_over_time(speed{device="car-7"}[10m])',
        start=fleet.first_ms / 1000 + 600,
        end=last,
        step="600s",
    )
    values = [float(text) for _, text in reply.json["data"]["result"][0]["values"]]
    expected = [statistics.pstdev(fleet.speeds[n : n + 10]) for n in range(0, 110, 10)]
    assert values == pytest.approx(expected, rel=1e-6)


def test_the_current_value_and_an_alert(fleet: Fleet):
    now_s = fleet.now_ms / 1000
    assert fleet.result("speed", time=now_s) == [("car-7", "82.5")]
    assert fleet.result("speed", time=now_s - 0.25) == [("car-7", "81.5")]
    assert fleet.result("speed", time=now_s + 299) == [("car-7", "82.5")]
    assert fleet.result("speed", time=now_s + 400) == []
    assert fleet.result("last_over_time(speed[30m])", time=now_s)[1][0] == "car-8"
    assert fleet.result("max_over_time(speed[1m]) > bool 80", time=now_s) == [("car-7", "1")]
    assert fleet.result('{"gyro.x"} * 2', time=now_s) == [("car-7", "-3")]
    assert fleet.result("speed / 0", time=now_s) == [("car-7", "+Inf")]
    assert fleet.result("vector(0) / 0") == [("", "NaN")]


def test_infos_name_slots_that_do_not_make_up_the_range(fleet: Fleet):
    unaligned_s = fleet.first_ms / 1000 + 3_601.5
    found = fleet.post("query", query="avg_over_time(speed[3m])", time=unaligned_s).json
    assert found["infos"] == [
        "speed: from slots of 1m, which begin in the range, whose ends are not those of slots"
    ]
    old_s = (fleet.now_ms // 3_600_000 + 1 - 40 * 24) * 3_600
    found = fleet.post("query", query="temperature", time=old_s).json
    assert found["data"]["result"][0]["value"][1] == "20"
    assert "slots of 1h" in found["infos"][0]


@pytest.mark.parametrize(
    ("path", "parameters", "error"),
    [
        ("query", {}, (400, "bad_data", "query is missing")),
        ("query", {"query": "sum("}, (400, "bad_data", "not valid PromQL")),
        ("query", {"query": "speed[5m]"}, (400, "bad_data", "subset of PromQL has")),
        ("query", {"query": "avg_over_time(speed[5m:1m])"}, (400, "bad_data", "subquery")),
        ("query", {"query": "speed @ 4"}, (400, "bad_data", "modifier @")),
        ("query", {"query": 'speed{a="b" or c="d"}'}, (400, "bad_data", "or between")),
        ("query", {"query": "quantile(0.5, speed)"}, (400, "bad_data", "quantile")),
        ("query", {"query": "deriv(speed[5m])"}, (400, "bad_data", "function deriv")),
        ("query", {"query": "rate(speed[5m])"}, (400, "bad_data", "'speed' is not a counter")),
        ("query", {"query": "speed + on() group_left speed"}, (400, "bad_data", "group_left")),
        ("query", {"query": '"text"'}, (400, "bad_data", "text")),
        ("query", {"query": "1", "time": "now"}, (400, "bad_data", "not a time")),
        ("query", {"query": "1", "time": "-1"}, (400, "bad_data", "not a time")),
        ("query", {"query": "1", "timeout": "x"}, (400, "bad_data", "not a duration")),
        ("query", {"query": "1", "limit": "x"}, (400, "bad_data", "not a number")),
        ("query", {"query": "1", "lookback_delta": "1m"}, (400, "bad_data", "always 5m")),
        ("query", {"query": "{device='car-7'} * 1"}, (422, "execution", "more")),
        ("query", {"query": "sum_over_time({device='car-7'}[1h])"}, (422, "execution", "dropped")),
        ("query", {"query": "speed + on() {device=~'car.*'}"}, (422, "execution", "several")),
        (
            "query_range",
            {"query": "1", "start": 2, "end": 1, "step": 1},
            (400, "bad_data", "earlier"),
        ),
        ("query_range", {"query": "1", "start": 0, "end": 9, "step": 0}, (400, "bad_data", "step")),
        (
            "query_range",
            {"query": "1", "start": 0, "end": 11_001, "step": 1},
            (400, "bad_data", "2s"),
        ),
        ("series", {}, (400, "bad_data", "match[] is missing")),
        ("series", {"match[]": ["a"] * 21}, (400, "bad_data", "at most 20")),
        ("series", {"match[]": "{}"}, (400, "bad_data", "matcher")),
        ("label/a-b/values", {}, (400, "bad_data", "not a name")),
    ],
)
def test_errors_have_the_form_of_prometheus(
    fleet: Fleet, path: str, parameters: dict[str, Any], error: tuple[int, str, str]
):
    status, kind, message = error
    reply = fleet.get(path, parameters)
    assert (reply.status, reply.json["status"], reply.json["errorType"]) == (status, "error", kind)
    assert message in reply.json["error"]


def test_all_panels_of_a_dashboard_at_once(fleet: Fleet):
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda _: fleet.result("count(speed) by (device)"), range(16)))
    assert replies == [replies[0]] * 16


GRAFANA = Path(__file__).resolve().parents[3] / "compose" / "grafana"


def test_the_dashboard_of_compose_shows_the_fleet(fleet: Fleet):
    board = json.loads((GRAFANA / "fleet.json").read_text())
    (source,) = yaml.safe_load((GRAFANA / "datasource.yaml").read_text())["datasources"]
    assert source["url"].endswith(":8000/prometheus")
    ids = {panel["id"] for panel in board["panels"]}
    assert len(ids) == len(board["panels"])
    for variable in board["templating"]["list"]:
        match = re.fullmatch(r"label_values\((?:(.+), )?(\w+)\)", variable["query"]["query"])
        assert match is not None
        selector = {"match[]": filled(match[1])} if match[1] else {}
        assert "speed" in (
            found := fleet.get(f"label/{match[2]}/values", selector).json["data"]
        ) or (found == ["car-7", "car-8"])
    for panel in board["panels"]:
        assert panel["datasource"] == {"type": source["type"], "uid": source["uid"]}
        for target in panel["targets"]:
            end_s = fleet.now_ms // MINUTE_MS * 60
            path, times = "query", {"time": fleet.now_ms / 1000}
            if target["range"]:
                path, times = "query_range", {"start": end_s - 3600, "end": end_s, "step": 60}
            reply = fleet.post(path, query=filled(target["expr"]), **times)
            assert reply.status == 200, (target["expr"], reply)
            assert reply.json["data"]["result"], target["expr"]


def filled(query: str) -> str:
    """A query with its variables replaced, as Grafana does."""
    values = {"metric": "speed", "device": "(car-7|car-8)", "__interval": "1m", "__range": "3600s"}
    return re.sub(r"\$(\w+)", lambda match: values[match[1]], query)


def test_tokens_limit_what_is_found(fleet: Fleet):
    client = fleet.server.client
    cars = tokens.create(client, Token("cars", "", "car-8", ("collect",), 0))
    writer = tokens.create(client, Token("writer", "", "*", ("record",), 0))
    wait_until(lambda: fleet.get("labels").status == 401, "tokens to be required")
    basic = base64.b64encode(f"grafana:{cars}".encode()).decode()
    query = {"query": "count(last_over_time(speed[1h]))"}
    for reply in (
        fleet.get("query", query, cars),
        fleet.get("query", query, Authorization=f"Basic {basic}"),
    ):
        assert reply.json["data"]["result"][0]["value"][1] == "1"
    for match in ("speed", 'speed{device="car-7"}', 'speed{device=~"car-7|car-8"}'):
        found = fleet.get("label/device/values", {"match[]": match}, cars).json["data"]
        assert found == ([] if match == 'speed{device="car-7"}' else ["car-8"])
    assert fleet.get("label/__name__/values", (), cars).json["data"] == ["speed"]
    for reply, status, kind in (
        (fleet.get("query", query), 401, "unauthorized"),
        (fleet.get("query", query, writer), 403, "forbidden"),
    ):
        assert (reply.status, reply.json["errorType"]) == (status, kind)
    for name in ("cars", "writer"):
        tokens.revoke(client, name)
