"""The catalogue of metrics: what came along, what a file may say, every fault named at once."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tributary import settings
from tributary.errors import Misconfigured, Refused
from tributary.model import catalogue, reading
from tributary.model.catalogue import Range


def test_the_bundled_catalogue_has_the_metrics_of_a_car():
    shipped = catalogue.load("")
    assert shipped["engine_temperature"].unit == "degC"
    assert shipped["speed"].unit == "km/h"
    for name, metric in shipped.metrics.items():
        assert reading.is_metric(name)
        assert metric.unit
        assert metric.plausible
        assert metric.description


def test_a_metric_outside_the_catalogue_has_no_unit_range_or_age():
    unknown = catalogue.parse("")["anything"]
    assert (unknown.unit, unknown.plausible, unknown.stale_after_ms) == (None, None, None)
    assert unknown.is_plausible(1e300) is None


def test_a_metric_keeps_everything_unless_the_catalogue_limits_it():
    parsed = catalogue.parse('[a]\nkeep = "latest"\n[b]\nkeep = "windows"\n[c]\nunit = "m"')
    assert [parsed[name].keep for name in ("a", "b", "c", "d")] == [
        "latest",
        "windows",
        "all",
        "all",
    ]
    assert parsed.kept_as("latest") == {"a"}
    assert parsed.kept_as("latest", "windows") == {"a", "b"}
    for value in ('"none"', "1", '["all"]'):
        with pytest.raises(Misconfigured, match="unknown value; use latest, windows or all"):
            catalogue.parse(f"[a]\nkeep = {value}")


def test_a_range_may_be_open_at_one_end():
    parsed = catalogue.parse("[depth]\nplausible = [0, inf]")
    assert parsed["depth"].is_plausible(1e308)
    assert not parsed["depth"].is_plausible(-0.1)


def test_all_errors_are_reported_at_once_with_their_values():
    with pytest.raises(Misconfigured) as caught:
        catalogue.parse(
            """
            loose = 1
            [speed]
            units = "km/h"
            plausible = [10, 0]
            stale_after_ms = 0
            [accelerometer.x]
            unit = "m/s2"
            ["1st"]
            unit = 5
            plausible = [nan, 1]
            description = ""
            """
        )
    message = str(caught.value)
    for part in (
        "loose = 1: is outside of a table",
        "[speed] units = 'km/h': unknown field; did you mean unit?",
        "[speed] plausible = [10, 0]: the first must be smaller than the second",
        "[speed] stale_after_ms = 0: Expected `int` >= 1",
        'a name with a dot is quoted, ["accelerometer.x"]',
        "[1st]: not a valid metric name",
        "[1st] unit = 5: Expected `str",
        "[1st] plausible = [nan, 1]: the first must be smaller",
        "[1st] description = ''",
    ):
        assert part in message


def test_the_file_is_validated_with_all_other_settings(tmp_path: Path):
    broken = tmp_path / "metrics.toml"
    broken.write_text("[speed\n")
    for path, fault in ((broken, "not TOML"), (tmp_path / "none.toml", "No such file")):
        environ = {"TRIBUTARY_METRICS_FILE": str(path), "TRIBUTARY_PORT": "-1"}
        with pytest.raises(Misconfigured) as caught:
            settings.load(environ)
        assert fault in str(caught.value)
        assert "PORT='-1'" in str(caught.value)


def test_its_digest_changes_with_it():
    assert catalogue.parse("[a]").digest != catalogue.parse("[b]").digest


RANGES = {"rpm": Range(0.0, 8000.0), "t": Range(-60.0, 250.0)}
numbers = st.floats(-1e4, 1e4)


@given(st.dictionaries(st.sampled_from(["rpm", "t", "other"]), numbers))
def test_a_reading_is_plausible_if_no_value_of_it_is_refused(metrics: dict[str, float]):
    def refused(name: str) -> bool:
        try:
            catalogue.check(name, metrics[name], RANGES)
        except Refused as refusal:
            return (refusal.status, refusal.code, refusal.field) == (422, "implausible", name)
        return False

    assert catalogue.is_plausible(metrics, RANGES) is not any(map(refused, metrics))


@given(st.sampled_from(["rpm", "t", "other"]), st.lists(numbers))
def test_a_column_is_plausible_if_every_value_is(name: str, values: list[float]):
    one_by_one = all(catalogue.is_plausible({name: value}, RANGES) for value in values)
    assert catalogue.is_plausible_column(name, np.array(values), RANGES) is one_by_one


def test_a_range_includes_its_ends():
    for value, is_in in ((0.0, True), (8000.0, True), (math.nextafter(8000, 9000), False)):
        assert catalogue.is_plausible({"rpm": value}, RANGES) is is_in


def test_a_refusal_has_the_range_and_a_remedy():
    with pytest.raises(Refused, match=r"'rpm' is -1.0, .* 0 to 8000; check the sensor"):
        catalogue.check("rpm", -1.0, RANGES)


def test_the_example_in_the_documentation_is_valid():
    text = (Path(__file__).resolve().parents[2] / "docs" / "http.md").read_text()
    example = text.split("```toml\n")[1].split("```")[0]
    assert catalogue.parse(example)["cabin_temperature"].stale_after_ms == 60_000
