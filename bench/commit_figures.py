"""Figures of two commits, measured alternately, and what is expected of the new one."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

import msgspec

from bench import report


class Figure(msgspec.Struct, frozen=True):
    """One figure of both sides in each round.

    `at_least` and `at_most` limit the median ratio of new to old, `value_at_most` the new value.
    """

    case: str
    name: str
    old: Sequence[float]
    new: Sequence[float]
    at_least: float | None = None
    at_most: float | None = None
    value_at_most: float | None = None

    @property
    def ratio(self) -> float:
        """The median over the rounds of new divided by old."""
        pairs = zip(self.new, self.old, strict=True)
        return statistics.median(new / old if old else float("inf") for new, old in pairs)

    @property
    def is_met(self) -> bool:
        """Whether every limit is kept."""
        return (
            (self.at_least is None or self.ratio >= self.at_least)
            and (self.at_most is None or self.ratio <= self.at_most)
            and (self.value_at_most is None or statistics.median(self.new) <= self.value_at_most)
        )

    @property
    def limit(self) -> str:
        """The limits as text; empty if there are none."""
        limits = (
            ("ratio ≥", self.at_least),
            ("ratio ≤", self.at_most),
            ("new ≤", self.value_at_most),
        )
        return ", ".join(
            f"{text} {round(value, 2):g}" for text, value in limits if value is not None
        )


def table(figures: Iterable[Figure]) -> str:
    """A Markdown section with a row for each figure."""
    rows = [
        (
            each.case,
            each.name,
            _shown(statistics.median(each.old)),
            _shown(statistics.median(each.new)),
            f"{each.ratio:.2f}",
            each.limit,
            ("yes" if each.is_met else "**no**") if each.limit else "",
        )
        for each in figures
    ]
    titles = ("case", "figure", "old", "new", "median of new / old", "limit", "met")
    return report.section("Old and new commit", report.table(titles, rows))


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
