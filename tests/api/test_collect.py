"""`/collect` as pure functions: what goes into the stored answer, and when its tag changes."""

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


@given(st.integers(-400_000, 10**12))
def test_age_and_stale_flag_are_put_in_and_nothing_else_changes(later_ms: int):
    answered = json.loads(collect.answer("car-7", LATEST, AT_MS + later_ms, 10_000))
    assert answered.pop("age_ms") == max(0, later_ms)
    assert answered.pop("stale") is (later_ms > 10_000)
    assert answered == json.loads(LATEST)


@given(st.integers(0, 20_000), st.integers(0, 20_000))
def test_the_tag_changes_with_the_stale_flag_and_not_with_the_age(a_ms: int, b_ms: int):
    a, b = (collect.etag("car-7", LATEST, AT_MS + ms, 10_000) for ms in (a_ms, b_ms))
    assert (a == b) is ((a_ms > 10_000) == (b_ms > 10_000))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_tag_changes_with_what_is_stored(value: float):
    other = LATEST.replace(b"92.3", json.dumps(value).encode())
    tags = {collect.etag("car-7", latest, AT_MS, 10_000) for latest in (LATEST, other)}
    assert len(tags) == (1 if other == LATEST else 2)


def test_the_tag_changes_with_the_time_of_the_newest_reading():
    later = LATEST.replace(b"00.250Z", b"00.251Z")
    assert collect.etag("car-7", later, AT_MS, 1) != collect.etag("car-7", LATEST, AT_MS, 1)


@pytest.mark.parametrize(
    ("given_tags", "is_match"),
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
def test_if_none_match_is_compared_weakly(given_tags: str, *, is_match: bool):
    assert collect.is_match(given_tags, 'W/"a"') is is_match


@given(st.integers(0, 253_402_300_799_999))
def test_the_time_of_any_answer_is_read_back_exactly(time_ms: int):
    latest = b'{"device":"a","recorded_at":"%b"}' % reading.rfc3339(time_ms).encode()
    assert collect.recorded_at_ms("a", latest) == time_ms


def test_only_the_metrics_asked_for_are_left_and_their_numbers_letter_by_letter():
    only = collect.narrowed(LATEST, ["average_x", "unknown"])
    assert only == (
        b'{"device":"car-7","recorded_at":"2026-11-22T10:00:00.250Z",'
        b'"current_average_x":1.0,"average_average_x":2.5}'
    )
    assert collect.recorded_at_ms("car-7", only) == AT_MS


def test_numbers_are_converted_by_the_name_of_their_metric():
    seen = []

    def convert(metric: str, number: float | None) -> float | None:
        seen.append((metric, number))
        return 0.5

    found = json.loads(collect.converted(LATEST, convert))
    assert found["current_engine_temperature"] == found["average_average_x"] == 0.5
    assert found["recorded_at"] == reading.rfc3339(AT_MS)
    assert ("average_x", 1.0) in seen
    assert ("average_x", 2.5) in seen


def test_metrics_are_told_from_averages():
    assert collect.metrics_of(LATEST) == ["engine_temperature", "average_x"]


def test_an_empty_deployment_has_nulls_for_what_is_asked():
    assert json.loads(collect.empty(["speed"]))["current_speed"] is None
    assert json.loads(collect.EMPTY)["average_engine_temperature"] is None
