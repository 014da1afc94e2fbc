"""The numbers of an object that a client sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ingest.doors import numbers
from ingest.limits import Rules
from tributary.errors import Refused
from tributary.model import reading
from tributary.model.frame import Block
from tributary.settings import Settings

NOW_MS = 1_763_805_600_000


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1.0), (2.5, 2.5), (True, 1.0), (False, 0.0), ("23.5", 23.5), (" -1e3 ", -1000.0),
        (".5", 0.5), ("5.", 5.0), ("+4", 4.0), ("", None), ("nan", None), ("inf", None),
        ("Infinity", None), ("1_000", None), ("23,5", None), ("0x10", None), ("٣", None),
        ("on", None), ("0", 0.0), ("007", None), ("07.5", 7.5), (None, None), ([1], None), (float("nan"), None), ("1" * 401, None),
    ],
)  # fmt: skip
def test_what_is_certainly_a_number_is_taken(value: Any, number: float | None):
    assert numbers.of(value) == number


def test_nested_objects_are_flattened_with_dots_and_the_rest_is_named():
    item = {"a": {"b": 1, "c": {"d": "2", "e": "x"}}, "f": None, "g": [1], "h": {}}
    assert numbers.flatten(item) == ({"a.b": 1, "a.c.d": 2.0}, ["a.c.e", "f", "g"])


@pytest.mark.parametrize("text", ['{"a.b": 1, "a": {"b": 2}}', '{"a": {"b": null}, "a.b": 2}'])
def test_two_members_of_one_name_are_refused(text: str):
    with pytest.raises(Refused) as caught:
        numbers.flatten(json.loads(text))
    assert (caught.value.code, caught.value.field) == ("ambiguous_field", "a.b")


def test_the_depth_is_bounded():
    item: dict[str, Any] = {"x": 1}
    for _ in range(numbers.DEPTH_MAX - 1):
        item = {"x": item}
    assert len(numbers.flatten(item).metrics) == 1
    with pytest.raises(Refused, match="nested too deeply"):
        numbers.flatten({"x": item})


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("temperature", "temperature"), ("Wind Speed", "Wind_Speed"), ("pm2.5", "pm2.5"),
        ("1st", "_1st"), ("température", "temp_rature"), ("a-b", "a_b"), ("", "_"),
    ],
)  # fmt: skip
def test_other_characters_of_a_metric_name_become_underscores(text: str, name: str):
    assert numbers.metric_name(text) == name
    assert reading.is_metric(name)


def test_a_reading_of_a_door_follows_the_rules_of_record():
    rules = Rules(Settings())
    block = numbers.reading("car/7", 1763805600, {"speed": 1}, NOW_MS, rules)
    assert block == Block("car/7", NOW_MS, {"speed": 1.0})
    for device, time, metrics, code in [
        ("a b", None, {"speed": 1.0}, "invalid_device"),
        ("a", "yesterday", {"speed": 1.0}, "invalid_time"),
        ("a", None, {}, "no_metrics"),
        ("a", None, {"speed": float("inf")}, "out_of_range"),
        ("a", None, {"the speed": 1.0}, "invalid_metric"),
    ]:
        with pytest.raises(Refused) as caught:
            numbers.reading(device, time, metrics, NOW_MS, rules)
        assert caught.value.code == code
