"""Valid and invalid query parameters."""

from __future__ import annotations

import pytest

from api.read import parameters
from tributary.errors import Refused
from tributary.model.aggregate import Layout
from tributary.model.window import parse_windows

LAYOUT = Layout(parse_windows("1m/5s,15m/1m,1h/5m,24h/1h"), 10)


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


@pytest.mark.parametrize(
    ("text", "length_ms", "slots_of"),
    [("1s", 1000, "1m"), ("60s", 60_000, "1m"), ("61s", 61_000, "15m"), ("24h", 86_400_000, "24h")],
)
def test_any_length_uses_the_finest_slots_that_cover_it(text: str, length_ms: int, slots_of: str):
    span = parameters.span(text, LAYOUT)
    assert (span.name, span.length_ms) == (text, length_ms)
    assert LAYOUT.windows[span.window].name == slots_of


@pytest.mark.parametrize("text", ["", "15", "0m", "15 m", "1441m", "25h", "2d", "15M", "-1m"])
def test_rejects_an_invalid_or_too_long_window(text: str):
    assert rejection(parameters.span, text, LAYOUT).field == "window"


def test_rejects_every_window_in_a_deployment_without_windows():
    assert "no windows are kept" in str(rejection(parameters.span, "1m", Layout((), 10)))
