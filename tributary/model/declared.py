"""What is stored of a series beside its row, because the catalogue declares it for the metric. Pure.

Each kind has a hash by series, which only series of such metrics are in.
"""

from __future__ import annotations

from collections.abc import Iterable

from tributary.model.aggregate import Layout, Records
from tributary.model.catalogue import Catalogue
from tributary.model.counter import ALWAYS, Counter, Form, Known, RollOver

_NOTHING = Catalogue({})


class Declared:
    """The counters of a catalogue, for given windows."""

    def __init__(self, layout: Layout, catalogue: Catalogue = _NOTHING) -> None:
        self.counters = {name: RollOver(at) for name, at in catalogue.counters.items()}
        self.counter_form = Form(layout.windows, layout.average_over)

    def of_counters(self, series: Iterable[tuple[str, str]]) -> list[int]:
        """Which of the series are counters, by position."""
        if not self.counters:
            return []
        return [n for n, (_, metric) in enumerate(series) if metric in self.counters]

    def counter(
        self, metric: str, packed: bytes | None, state: Records, pending: int
    ) -> Counter | None:
        """The counter of a series to read from; None if its metric is none.

        Args:
            metric: name.
            packed: what is stored of the counter.
            state: `Layout.state` record of the series.
            pending: how many of the newest readings in it `packed` does not include.
        """
        roll_over = self.counters.get(metric)
        if roll_over is None:
            return None
        known = Known.of(state, pending)
        return Counter.restore(self.counter_form, roll_over, packed, known, ALWAYS)
