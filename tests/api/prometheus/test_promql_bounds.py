"""What is outside of the subset, or would be expensive to parse or to match, is 400 bad_data."""

from __future__ import annotations

import time

import pytest

from api.prometheus import bounds, promql
from api.prometheus.matching import Matcher, Selection
from tributary.errors import Refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(" * 5_000 + "1" + ")" * 5_000, "5000 operators"),
        ("1" + "+1" * 20_000, "characters"),
        ("1" + " + 1" * 300, "300 operators"),
        ("sum(" * 150 + "x" + ")" * 150 + "+1" * 100, "250 operators"),
        ("speed{" + ",".join(["device!='a'"] * 300) + "}", "operators"),
        ("speed{", "not valid PromQL"),
        ("speed[5m:1" + "0" * 30 + "]", "cannot be parsed"),  # the parser panics
        ("foo(speed)", "unknown function"),
        ("1 > 2", "not valid PromQL"),
    ],
)
def test_queries_are_bounded_before_they_are_parsed(text: str, message: str):
    began_s = time.process_time()
    with pytest.raises(Refused, match=message) as refused:
        promql.parse(text)
    assert (refused.value.status, refused.value.code) == (400, "bad_data")
    assert time.process_time() - began_s < 1


@pytest.mark.parametrize(
    "pattern",
    ["(", "(.{1000}){1000}", r"\pL{1000}", "((a{100}){100}){100}", "a" * 10_001, "(?=a)", r"(a)\1"],
)
def test_regular_expressions_are_those_of_re2_and_small(pattern: str):
    with pytest.raises(Refused) as refused:
        promql.parse_selector(f"speed{{device=~`{pattern}`}}")
    assert (refused.value.status, refused.value.code) == (400, "bad_data")


def test_matching_takes_linear_time():
    matcher = Matcher.regex("device", "(a*)*b|(a|a)*c|(.*)*d", is_negative=False)
    began_s = time.process_time()
    assert not matcher.matches("a" * 100_000)
    assert time.process_time() - began_s < 1


@pytest.mark.parametrize(
    ("text", "devices", "prefix"),
    [
        ('speed{device="car-7"}', ["car-7"], ""),
        ('speed{device=~"car-7|car-8"}', ["car-7", "car-8"], ""),
        (r'speed{device=~"(car-7|car\\.8)"}', ["car-7", "car.8"], ""),
        ('speed{device=~"car-7|car-8",device!="car-8"}', ["car-7"], ""),
        ('speed{device=~"car-7|van-.*"}', None, ""),
        ('speed{device=~"car-.*"}', None, "car-"),
        ('speed{device=~"car-[0-9]+"}', None, "car-"),
        (r'speed{device=~"car\\.?7"}', None, "car"),
        ('speed{device=~"(car|van)-.*"}', None, ""),
        ('speed{device=~"cars*"}', None, "car"),
        ('speed{device!~"car-.*"}', None, ""),
        ("speed", None, ""),
        ("speed # {device='car-7'}", None, ""),
    ],
)
def test_devices_are_found_by_name_or_by_prefix(text: str, devices: list[str] | None, prefix: str):
    selection = promql.parse_selector(text)
    assert (selection.devices(), selection.prefix() if devices is None else "") == (devices, prefix)


@pytest.mark.parametrize(
    ("text", "device", "metric", "is_selected"),
    [
        ('{__name__=~"sp.*d"}', "a", "speed", True),
        ('{__name__=~"sp"}', "a", "speed", False),
        ('speed{job=""}', "a", "speed", True),
        ('speed{job!=""}', "a", "speed", False),
        ('speed{device!~"a|b"}', "a", "speed", False),
        ("speed{device=~'(?i)A'}", "a", "speed", True),
        ('{"gyroscope.x"}', "a", "gyroscope.x", True),
        ("{device=`a`}", "a", "depth", True),
        (r'{device="\x61"}', "a", "depth", True),
    ],
)
def test_matchers_select_series(text: str, device: str, metric: str, *, is_selected: bool):
    assert promql.parse_selector(text).matches(device, metric) is is_selected


@pytest.mark.parametrize(
    "text",
    ["{}", '{device=~".*"}', '{device!="a"}', "speed offset 5m", "speed[5m]", "1", "speed @ 5"],
)
def test_selectors_have_to_select(text: str):
    with pytest.raises(Refused) as refused:
        promql.parse_selector(text)
    assert refused.value.code == "bad_data"


def test_without_matchers_everything_is_selected():
    assert Selection([]).matches("a", "b")
    assert bounds.SUPPORTED in str(bounds.unsupported("a subquery"))
