"""Topic filters: validity, matching, overlap, and names made of the levels of a topic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import topic

_FILTERS = st.lists(st.sampled_from(["a", "b", "", "+"]), min_size=1, max_size=4).flatmap(
    lambda levels: st.sampled_from([levels, [*levels, "#"], ["#"]])
)
_TOPICS = st.lists(st.sampled_from(["a", "b", ""]), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("filter_", "problem"),
    [
        ("a/b", None),
        ("+/SENSOR", None),
        ("/", None),
        ("a/#", None),
        ("", "is empty"),
        ("a\0b", "NUL"),
        ("a/#/b", "not the whole last level"),
        ("a/b#", "not the whole last level"),
        ("a+/b", "not a whole level"),
        ("$share/g/a", "--share"),
    ],
)
def test_a_filter_is_valid_or_has_a_reason(filter_: str, problem: str | None):
    found = topic.problem(filter_)
    assert found is None if problem is None else problem in str(found)


@pytest.mark.parametrize(
    ("filter_", "matching", "other"),
    [
        ("a/+", ["a/b", "a/"], ["a", "a/b/c"]),
        ("a/#", ["a", "a/b/c"], ["b", "ab"]),
        ("+", ["a", ""], ["/a"]),
        ("#", ["a", "/"], ["$SYS/uptime"]),
        ("$SYS/#", ["$SYS/uptime"], ["SYS/uptime"]),
        ("a/b", ["a/b"], ["a/b/c", "a/B"]),
    ],
)
def test_a_filter_matches_topics(filter_: str, matching: list[str], other: list[str]):
    found = [n for n in matching + other if topic.matches(filter_.split("/"), n.split("/"))]
    assert found == matching


@given(_FILTERS, _FILTERS, _TOPICS)
def test_filters_that_match_one_topic_overlap(one: list[str], two: list[str], name: list[str]):
    first, second = topic.matches(one, name), topic.matches(two, name)
    assert topic.overlap(one, two) or not (first and second)
    assert first or not (topic.covers(one, two) and second)


def test_covered_filters_are_left_out_and_partial_overlaps_reported():
    kept, pairs = topic.without_overlap(["a/#", "a/b", "b/+", "+/c", "a/#"])
    assert kept == ["a/#", "b/+", "+/c"]
    assert pairs == [("a/#", "+/c"), ("b/+", "+/c")]


@pytest.mark.parametrize(
    ("pattern", "name"),
    [("{2}", "b"), ("x-{1}.{3}", "x-a.c"), ("{2-}", "b/c"), ("plain", "plain")],
)
def test_patterns_are_filled_from_the_topic(pattern: str, name: str):
    assert topic.fill(pattern, ["a", "b", "c"]) == name
    assert topic.pattern_problem(pattern, "+/+/+") is None


@pytest.mark.parametrize("pattern", ["{4}", "{0}", "{x}", "{}", "a}"])
def test_patterns_name_levels_that_every_topic_has(pattern: str):
    assert topic.pattern_problem(pattern, "+/+/+")
    assert topic.pattern_problem(pattern, "+/+/+/#")
