"""The body of `/collect`: what is inserted into the stored body, and when its ETag changes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import collect
from tributary.model import reading

AT_MS = 1_795_341_600_250
LATEST = (
    b'{"device":"car-7","recorded_at":"2026-11-22T10:00:00.250Z",'
    b'"current_engine_temperature":92.3,"average_engine_temperature":91.8,'
    b'"current_average_x":1.0,"average_average_x":2.5}'
)


def etag(device: str, latest: bytes, now_ms: int, stale_after_ms: int) -> str:
    return collect.body_and_etag(device, latest, now_ms, stale_after_ms)[1]


@given(st.integers(-400_000, 10**12))
def test_inserts_age_and_stale_flag_and_changes_nothing_else(later_ms: int):
    body = json.loads(collect.body_and_etag("car-7", LATEST, AT_MS + later_ms, 10_000)[0])
    assert body.pop("age_ms") == max(0, later_ms)
    assert body.pop("stale") is (later_ms > 10_000)
    assert body == json.loads(LATEST)


@given(st.integers(0, 20_000), st.integers(0, 20_000))
def test_the_etag_changes_with_the_stale_flag_and_not_with_the_age(a_ms: int, b_ms: int):
    a, b = (etag("car-7", LATEST, AT_MS + ms, 10_000) for ms in (a_ms, b_ms))
    assert (a == b) is ((a_ms > 10_000) == (b_ms > 10_000))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_etag_changes_with_the_stored_body(value: float):
    other = LATEST.replace(b"92.3", json.dumps(value).encode())
    etags = {etag("car-7", latest, AT_MS, 10_000) for latest in (LATEST, other)}
    assert len(etags) == (1 if other == LATEST else 2)


def test_the_etag_changes_with_the_time_of_the_newest_reading():
    later = LATEST.replace(b"00.250Z", b"00.251Z")
    assert etag("car-7", later, AT_MS, 1) != etag("car-7", LATEST, AT_MS, 1)


@pytest.mark.parametrize(
    ("if_none_match", "is_match"),
    [
        ('W/"a"', True),
        ('"a"', True),
        ('"b", W/"a"', True),
        ("*", True),
        ("", False),
        ('W/"b"', False),
        ('"b" , "c"', False),
        ("a", False),
        ('W/"aa"', False),
    ],
)
def test_compares_if_none_match_weakly(if_none_match: str, *, is_match: bool):
    assert collect.is_match(if_none_match, 'W/"a"') is is_match


@given(st.integers(0, 253_402_300_799_999))
def test_reads_the_time_of_a_stored_body_exactly(time_ms: int):
    latest = b'{"device":"a","recorded_at":"%b"}' % reading.rfc3339(time_ms).encode()
    assert collect.recorded_at_ms("a", latest) == time_ms


def test_narrowing_keeps_the_digits_of_the_numbers():
    only = collect.narrowed(LATEST, ["average_x", "unknown"])
    assert only == (
        b'{"device":"car-7","recorded_at":"2026-11-22T10:00:00.250Z",'
        b'"current_average_x":1.0,"average_average_x":2.5}'
    )
    assert collect.recorded_at_ms("car-7", only) == AT_MS


def test_converts_values_by_the_name_of_their_metric():
    seen = []

    def convert(metric: str, number: float | None) -> float | None:
        seen.append((metric, number))
        return 0.5

    found = json.loads(collect.converted(LATEST, convert))
    assert found["current_engine_temperature"] == found["average_average_x"] == 0.5
    assert found["recorded_at"] == reading.rfc3339(AT_MS)
    assert ("average_x", 1.0) in seen
    assert ("average_x", 2.5) in seen


def test_a_metric_named_average_is_not_an_average():
    assert collect.metrics_of(LATEST) == ["engine_temperature", "average_x"]


def test_an_empty_deployment_has_nulls_for_the_requested_metrics():
    assert json.loads(collect.empty(["speed"]))["current_speed"] is None
    assert json.loads(collect.EMPTY)["average_engine_temperature"] is None
