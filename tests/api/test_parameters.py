"""Valid and invalid query parameters."""

from __future__ import annotations

import pytest

from api.read import parameters
from tributary.errors import Refused


def rejection(check: object, *arguments: object) -> Refused:
    with pytest.raises(Refused) as caught:
        check(*arguments)  # type: ignore[operator]
    assert caught.value.status == 400
    assert caught.value.code == f"invalid_{caught.value.field}"
    return caught.value


@pytest.mark.parametrize("text", ["", "0", "-1", "+1", "1001", "1.0", "1e2", "٣", "1" * 5000])
def test_rejects_a_limit_that_is_not_a_number_from_1_to_1000(text: str):
    assert rejection(parameters.limit, text).field == "limit"


def test_a_limit_is_optional():
    assert parameters.limit(None) == 100
    assert [parameters.limit(text) for text in ("1", "01", "1000")] == [1, 1, 1000]


@pytest.mark.parametrize("text", ["", ",", "a,", "a b", "1a", "device", ",".join("ab" * 40)])
def test_rejects_metrics_that_are_not_names_separated_by_commas(text: str):
    if text == ",".join("ab" * 40):
        assert parameters.metrics(text) == ["a", "b"]
    else:
        assert rejection(parameters.metrics, text).field == "metrics"


def test_accepts_as_many_metrics_as_a_reading_may_have():
    names = [f"m{number}" for number in range(65)]
    assert parameters.metrics(",".join(names[:64])) == names[:64]
    assert rejection(parameters.metrics, ",".join(names)).field == "metrics"


@pytest.mark.parametrize("text", ["", "furlong", "degC,degF", "degC,degC", "degF,", "DEGF"])
def test_rejects_unknown_units_and_two_of_a_kind(text: str):
    assert rejection(parameters.units, text).field == "unit"


def test_accepts_units_of_two_kinds():
    assert parameters.units("degF,mph") == ["degF", "mph"]
    assert parameters.units(None) == []


@pytest.mark.parametrize("text", ["", "15", "0m", "15 m", "15M", "-1m", "1.5h", "1" * 10 + "s"])
def test_rejects_an_invalid_duration(text: str):
    for name in ("window", "duration"):
        assert rejection(parameters.length, {name: text}, name).field == name
    assert rejection(parameters.chart, {"slot": text}).field == "slot"


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-11-22T10:00:00"}, "from"),  # no zone
        ({"from": "-1"}, "from"),
        ({"from": "0", "to": ""}, "to"),
        ({"from": "0", "to": "9" * 21}, "to"),
        ({"to": "1763805600"}, "to"),
        ({"from": "0", "window": "1h"}, "window"),
    ],
)
def test_rejects_an_invalid_time_span(arguments: dict[str, str], field: str):
    assert rejection(parameters.chart, arguments).field == field


@pytest.mark.parametrize("name", ["from", "to", "slot"])
def test_statistics_take_no_parameters_of_charts(name: str):
    rejected = rejection(parameters.length, {name: "1h"}, "window")
    assert rejected.field == name
    assert "/history" in rejected.message
