"""SenML: packs like those of RFC 8428."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.door_requests import NOW_MS, parse, readings, status_of
from support.processes import ROOT
from support.webs import Web

from ingest.doors.senml import SenmlDoor
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.settings import Settings

DOOR = SenmlDoor()
PACK = (ROOT / "tests/data/senml_pack.json").read_bytes()
TIME_S = 1_764_084_121.25
TIME_MS = 1_764_084_121_250
OW = "urn:dev:ow:10e2073a01080063"


def found(*records: Any) -> list[tuple[str, int, dict[str, float]]]:
    return [(r.device, r.time_ms, r.metrics) for r in readings(parse(DOOR, [*records]))]


def test_a_pack_with_base_values():
    assert [tuple(reading) for reading in readings(parse(DOOR, PACK))] == [
        ("urn:dev:ow:10e2073a0108006", TIME_MS,
         {"voltage": 120.1, "current": 1.7, "temperature": pytest.approx(23.1), "on": 1.0}),
        ("urn:dev:ow:10e2073a0108006", TIME_MS - 5000, {"current": 1.2}),
        ("urn:dev:ow:10e2073a0108006", TIME_MS - 4000, {"current": 1.3}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "device", "metric"),
    [
        ({"bn": "car-7/", "n": "x"}, "car-7", "x"),
        ({"bn": "car-7:", "n": "x-1"}, "car-7", "x_1"),
        ({"bn": "urn:dev:ow:10e2:", "n": "1"}, "urn:dev:ow:10e2", "_1"),
        ({"n": "building/room/x"}, "building/room", "x"),
        ({"bn": "building/", "n": "room/x"}, "building/room", "x"),
        ({"bn": "building", "n": "/x"}, "building", "x"),
        ({"bn": "car-7:x"}, "car-7", "x"),
        ({"bn": OW, "u": "lat"}, OW, "lat"),
        ({"bn": OW, "u": "%RH"}, OW, "humidity"),
        ({"bn": "2001:db8::2/", "u": "lon"}, "2001:db8::2", "lon"),
        ({"bn": "car7", "u": "lat"}, "car7", "lat"),
        ({"n": "urn:dev:ow:10e2", "u": "%RH"}, "urn:dev:ow:10e2", "humidity"),
    ],
)
def test_the_last_separator_is_between_device_and_metric(
    name: dict[str, str], device: str, metric: str
):
    assert found({**name, "v": 5}) == [(device, NOW_MS, {metric: 5})]


@pytest.mark.parametrize(
    ("time", "time_ms"),
    [
        ({}, NOW_MS),
        ({"t": 0}, NOW_MS),
        ({"t": -10.5}, NOW_MS - 10_500),
        ({"t": 60}, NOW_MS + 60_000),
        ({"bt": -60, "t": 10}, NOW_MS - 50_000),
        ({"t": TIME_S}, TIME_MS),
        ({"bt": TIME_S, "t": -5}, TIME_MS - 5_000),
        ({"bt": 1.764084121e9, "t": 0.2509}, TIME_MS),
        ({"t": 1764084121}, TIME_MS - 250),
        ({"t": 1764084121.001}, TIME_MS - 249),
        ({"bt": 1764084121, "t": 0.0010000001}, TIME_MS - 249),
    ],
)
def test_times_are_absolute_or_relative_to_the_arrival(time: dict[str, float], time_ms: int):
    assert found({"n": "a:x", "v": 1, **time})[0][1] == time_ms


@pytest.mark.parametrize(
    ("record", "metrics"),
    [
        ({"n": "a:x", "v": 1, "bv": 20.5}, {"x": 21.5}),
        ({"n": "a:x", "bv": 20.5}, {"x": 20.5}),
        ({"n": "a:x", "vb": False, "bv": 20.5}, {"x": 0}),
        ({"n": "a:x", "v": 1, "s": 3, "ut": 5, "unknown": {}}, {"x": 1}),
        # Converted if the metric is in the catalogue, and otherwise as sent.
        ({"n": "a:temperature", "u": "Cel", "v": 20}, {"temperature": 20}),
        ({"n": "a:temperature", "bu": "K", "v": 273.15}, {"temperature": 0}),
        ({"n": "a:absolute_pressure", "u": "Pa", "v": 101325}, {"absolute_pressure": 1013.25}),
        ({"n": "a:speed", "u": "m/s", "v": 10}, {"speed": 36}),
        ({"n": "a:batt", "u": "%EL", "v": 80}, {"batt": 80}),
        ({"n": "a:humidity", "u": "/", "v": 0.4}, {"humidity": 40}),
        ({"n": "a:heartrate.bpm", "u": "beat/min", "v": 60}, {"heartrate.bpm": 60}),
        ({"n": "a:temperature", "v": 20}, {"temperature": 20}),
        ({"n": "a:other", "u": "K", "v": 273.15}, {"other": 273.15}),
    ],
)
def test_values_and_units(record: Any, metrics: dict[str, float]):
    [(_, _, stored)] = found(record)
    assert stored == pytest.approx(metrics)


def test_records_of_one_device_and_time_are_one_reading():
    assert found(
        {"bn": "a:", "bver": 10},
        {"n": "x", "v": 1},
        {"n": "y", "v": 2},
        {"bn": "b:", "n": "x", "v": 3},
        {"n": "x", "v": 4},
    ) == [
        ("a", NOW_MS, {"x": 1, "y": 2}),
        ("b", NOW_MS, {"x": 3}),
        ("b", NOW_MS, {"x": 4}),
    ]


GOOD = {"n": "a:x", "v": 1}


@pytest.mark.parametrize(
    ("pack", "refusal"),
    [
        (b"{", (400, "not_json", None, None)),
        (GOOD, (400, "wrong_shape", None, None)),
        ([], (400, "no_readings", None, None)),
        ([GOOD, 7], (400, "wrong_shape", None, 1)),
        ([GOOD] * 10_001, (413, "too_many_readings", None, None)),
        ([GOOD, {"n": "a:x"}], (422, "invalid_senml", "v", 1)),
        ([GOOD, {"n": "a:x", "v": 1, "vb": True}], (422, "invalid_senml", "vb", 1)),
        ([{"n": "a:x", "v": "1"}], (422, "invalid_senml", "v", 0)),
        ([{"n": "a:x", "v": True}], (422, "invalid_senml", "v", 0)),
        ([{"n": "a:x", "v": None}], (422, "invalid_senml", "v", 0)),
        ([{"n": "a:x", "vb": 1}], (422, "invalid_senml", "vb", 0)),
        ([{"n": 7, "v": 1}], (422, "invalid_senml", "n", 0)),
        ([{**GOOD, "t": "now"}], (422, "invalid_senml", "t", 0)),
        ([{**GOOD, "t": 1e300}], (422, "invalid_senml", "t", 0)),
        ([{**GOOD, "bver": 11}], (422, "invalid_senml", "bver", 0)),
        ([{**GOOD, "bver": 0}], (422, "invalid_senml", "bver", 0)),
        ([{**GOOD, "bver": 10}, {**GOOD, "bver": 5}], (422, "invalid_senml", "bver", 1)),
        ([GOOD, {**GOOD, "crs_": 1}], (422, "invalid_senml", "crs_", 1)),
        ([{"n": "x", "v": 1}], (422, "invalid_senml", "n", 0)),
        ([{"v": 1}], (422, "invalid_senml", "n", 0)),
        ([{"n": ":x", "v": 1}], (422, "invalid_senml", "n", 0)),
        ([{"n": "a:", "v": 1}], (422, "invalid_senml", "n", 0)),
        ([{"n": "a:1", "v": 1}], (422, "invalid_senml", "n", 0)),
        ([{"n": "a b:x", "v": 1}], (422, "invalid_senml", "n", 0)),
        ([{"bn": "urn:dev:car7", "n": "x", "v": 1}], (422, "invalid_senml", "n", 0)),
        ([{"bn": OW, "u": "m", "v": 1}], (422, "invalid_senml", "n", 0)),
        ([{"n": "a:" + "x" * 65, "v": 1}], (422, "invalid_metric", "x" * 65, None)),
        ([{"n": "a" * 130 + ":x", "v": 1}], (422, "invalid_device", "device", None)),
        ([{"n": "a:temperature", "u": "m", "v": 1}], (422, "unit_mismatch", "temperature", 0)),
        (
            [{"n": "a:temperature", "u": "furlong", "v": 1}],
            (422, "unit_mismatch", "temperature", 0),
        ),
        ([{**GOOD, "t": 3600}], (422, "in_future", "t", 0)),
        ([{**GOOD, "v": 10**400}], (422, "out_of_range", "x", None)),
        ([{"n": "a:x", "vs": "text"}, {"n": "a:y", "s": 5}], (422, "no_metrics", None, None)),
    ],
)
def test_errors(pack: Any, refusal: Any):
    with pytest.raises(Refused) as caught:
        parse(DOOR, pack)
    error = caught.value
    assert (error.status, error.code, error.field, error.index) == refusal


def test_the_catalogue_decides_the_unit(tmp_path_factory: pytest.TempPathFactory):
    file = tmp_path_factory.mktemp("catalogue") / "metrics.toml"
    file.write_text('[temperature]\nunit = "degF"')
    pack = [{"n": "a:temperature", "u": "Cel", "v": 20}]
    [reading] = readings(parse(DOOR, pack, rules=Rules(Settings(metrics_file=str(file)))))
    assert reading.metrics == {"temperature": 68}


_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text("ab:/", max_size=4)
_labels = ["bn", "bt", "bu", "bv", "bver", "n", "u", "v", "vb", "vs", "s", "t", "x_"]
_records = st.fixed_dictionaries({}, optional=dict.fromkeys(_labels, _values)) | _values


@given(st.binary() | st.lists(_records).map(lambda pack: json.dumps(pack).encode()))
def test_any_body_is_stored_or_rejected(body: bytes):
    assert 200 <= status_of(DOOR, body) < 500


@pytest.mark.parametrize(
    ("path", "type_"),
    [
        ("/record/senml", "application/senml+json"),
        ("/record/senml", ""),
        ("/record", "application/senml+json"),
        ("/record", "Application/SenML+JSON; charset=utf-8"),
    ],
)
def test_packs_over_http(web: Web, accepted: Callable[[], int], path: str, type_: str):
    before = accepted()
    headers = {"Content-Type": type_} if type_ else {}
    reply = web.ask("POST", path, PACK, **headers)
    assert (reply.status, reply.json) == (200, {"success": True, "accepted": 3})
    assert accepted() == before + 3
    assert web.ask("POST", path, b'[{"n":"x","v":1}]', **headers).code == "invalid_senml"
    for _ in range(2):
        key = {"Idempotency-Key": f"{web.port}{path}{type_}".replace(" ", "")}
        assert web.ask("POST", path, PACK, **headers, **key).status == 200
    assert accepted() == before + 6
