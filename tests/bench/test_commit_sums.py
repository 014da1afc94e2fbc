"""The computations that compare two commits."""

from __future__ import annotations

from typing import Any

import click
import pytest

from bench import commit_figures, commit_fill
from bench.commit_figures import Figure
from bench.commit_tree import checked_out
from bench.workers.scenario import Scenario
from tributary.store import keys


@pytest.mark.parametrize(
    ("limits", "is_met"),
    [
        ({}, True),
        ({"at_most": 0.5}, True),
        ({"at_most": 0.49}, False),
        ({"at_least": 0.5}, True),
        ({"at_least": 0.51}, False),
        ({"at_most": 0.5, "value_at_most": 5}, True),
        ({"at_most": 0.5, "value_at_most": 4.9}, False),
    ],
)
def test_the_median_of_the_ratios_is_limited(limits: dict[str, float], *, is_met: bool):
    figure = Figure("wide", "Redis µs", [10, 12, 8], [5, 5, 80], **limits)
    assert figure.ratio == 0.5
    assert figure.is_met == is_met


def test_a_figure_that_misses_its_limit_is_marked():
    figures: list[Any] = [
        Figure("wide", "rate", [10], [15], at_least=2),
        Figure("wide", "file bytes", [1_100], [400], value_at_most=450),
        Figure("hot", "rate", [1], [2]),
    ]
    rows = commit_figures.table(figures).splitlines()[-3:]
    assert rows == [
        "| wide | rate | 10.00 | 15.00 | 1.50 | ratio ≥ 2 | **no** |",
        "| wide | file bytes | 1,100 | 400 | 0.36 | new ≤ 450 | yes |",
        "| hot | rate | 1.00 | 2.00 | 2.00 |  |  |",
    ]


@pytest.mark.parametrize("per_frame", [1, 16])
@pytest.mark.parametrize("partitions", [4, 16])
def test_a_request_has_one_frame_for_each_partition(per_frame: int, partitions: int):
    scenario = Scenario("any", 500, 10_000, per_frame, 500)
    batches = list(commit_fill.requests(scenario, partitions))
    assert sum(map(len, batches)) == scenario.readings
    first = [keys.partition_of(str(each["device"]), partitions) for each in batches[0]]
    assert sorted(first) == sorted(list(range(partitions)) * per_frame)
    times: dict[str, int] = {}
    for each in (reading for batch in batches for reading in batch):
        assert times.get(each["device"], 0) < each["recorded_at"]
        times[each["device"]] = each["recorded_at"]


def test_names_a_commit_that_does_not_exist():
    with pytest.raises(click.UsageError, match="no-such-commit"):
        checked_out("old", "no-such-commit").__enter__()
