"""What Telegraf's HTTP output sends as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.influx_lines import NOW_MS, RULES, Row, rows
from support.webs import Web

from ingest.doors.telegraf import TelegrafDoor
from tributary.auth.guard import RequestHeaders

PATH = "/record/telegraf"


# The example of plugins/serializers/json/README.md of Telegraf, and a batch of its agent.
def metric(**changes: Any) -> dict[str, Any]:
    documented = {
        "fields": {"field_1": 30, "field_2": 4, "field_N": 59, "n_images": 660},
        "name": "docker",
        "tags": {"host": "raynor"},
        "timestamp": NOW_MS // 1000,
    }
    return {**documented, **changes}


BATCH = {
    "metrics": [
        metric(
            name="cpu",
            tags={"cpu": "cpu-total", "host": "pi-1"},
            fields={"usage_idle": 97.5, "usage_user": 1},
            timestamp=NOW_MS * 1_000_000,
        ),
        metric(name="system", fields={"uptime": 86400, "uptime_format": "1 day"}, timestamp=None),
        metric(name="system", fields={"uptime_format": "1 day"}),
        *(metric(name="disk", tags={"path": "/", "device": "sda 1"}, fields={"free": n}) for n in range(5)),
    ]
}  # fmt: skip


class Sent:
    """A request as a door sees it."""

    head = RequestHeaders()

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.query: dict[str, str] = {}


def test_the_readings_of_a_batch():
    batch = TelegrafDoor().parse(Sent(json.dumps(BATCH).encode()), NOW_MS, RULES)
    found = rows(batch)
    assert {index: row for index, [row] in found.items()} == {
        0: Row("pi-1", NOW_MS, {"cpu_usage_idle": 97.5, "cpu_usage_user": 1}),
        1: Row("raynor", NOW_MS, {"system_uptime": 86400}),
        **{n + 3: Row("sda-1", NOW_MS, {"disk_free": n}) for n in range(5)},
    }


@pytest.mark.parametrize(
    ("body", "readings"), [(metric(), 1), (BATCH, 7), ({"metrics": []}, 0), (metric(tags={}), 1)]
)
def test_metrics_are_stored(web: Web, accepted: Callable[[], int], body: Any, readings: int):
    before = accepted()
    reply = web.ask("POST", PATH, body)
    assert (reply.status, reply.json) == (204, None)
    assert accepted() == before + readings


ERRORS: list[tuple[Any, int, str, str | None]] = [
    (b"cpu,host=a usage=1", 400, "not_json", None),
    ([metric()], 400, "wrong_shape", None),
    ({"temperature": 21.5}, 400, "wrong_shape", None),
    ({"metrics": [1]}, 400, "wrong_shape", None),
    (metric(name=None), 400, "wrong_shape", None),
    (metric(fields=[1]), 400, "wrong_shape", None),
    (metric(tags={"host": 1}), 400, "wrong_shape", None),
    (metric(tags={"host": "日本"}), 422, "invalid_device", "tags"),
    (metric(fields={"a-b": 1, "a_b": 2}), 422, "ambiguous_field", "docker_a_b"),
    (metric(fields={"x" * 70: 1}), 422, "invalid_metric", "docker_" + "x" * 70),
    (metric(fields={"a": "1e999"}), 422, "out_of_range", "docker_a"),
    (metric(timestamp=4_000_000_000), 422, "in_future", "recorded_at"),
    (metric(timestamp="2026-01-01"), 422, "invalid_time", "recorded_at"),
    ({"metrics": [{}] * 10_001}, 413, "too_many_readings", None),
]


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: str(case)[:40])
def test_errors(web: Web, accepted: Callable[[], int], case: tuple[Any, int, str, str | None]):
    body, status, code, field = case
    before = accepted()
    reply = web.ask("POST", PATH, body)
    assert (reply.status, reply.code) == (status, code)
    assert reply.json["error"].get("field") == field
    assert accepted() == before


def test_bad_metrics_may_be_skipped(web: Web, accepted: Callable[[], int]):
    before = accepted()
    body = {"metrics": [metric(), metric(fields=None), metric()]}
    assert web.ask("POST", PATH, body).json["error"]["index"] == 1
    reply = web.ask("POST", f"{PATH}?on_error=skip", body)
    assert (reply.status, reply.json["accepted"]) == (200, 2)
    assert [each["index"] for each in reply.json["rejected"]] == [1]
    assert web.ask("POST", f"{PATH}?on_error=drop", body).code == "invalid_on_error"
    assert web.ask("POST", f"{PATH}?on_error=skip", metric()).status == 204
    assert accepted() == before + 3


def test_a_retry_is_not_counted_again(web: Web, accepted: Callable[[], int]):
    before = accepted()
    for _ in range(2):
        reply = web.ask("POST", PATH, metric(), Idempotency_Key=f"telegraf-{web.port}")
        assert reply.status == 204
    assert accepted() == before + 1
