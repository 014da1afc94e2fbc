"""What is stored of a series beside its row, because the catalogue declares it for the metric. Pure.

Each kind has a hash by series, which only series of such metrics are in.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from tributary.model import counter, quantiles
from tributary.model.aggregate import Layout
from tributary.model.catalogue import Catalogue
from tributary.model.counter import Clock, Counter, Known, RollOver
from tributary.model.quantiles import Quantiles, Rows

_NOTHING = Catalogue({})
Series = Iterable[tuple[str, str]]  # device, metric


class Declared:
    """The counters and the metrics with quantiles of a catalogue, for given windows."""

    def __init__(self, layout: Layout, catalogue: Catalogue = _NOTHING) -> None:
        """Those of a layout and a catalogue.

        Raises:
            Misconfigured: the windows cannot have quantiles, and a metric has them.
        """
        self.counters = {name: RollOver(at) for name, at in catalogue.counters.items()}
        self.with_quantiles = {
            name
            for name, metric in catalogue.metrics.items()
            if metric.quantiles and metric.keep != "latest"
        }
        self._counter_form = counter.Form(layout.windows, layout.average_over)
        self.quantile_form = quantiles.Form(layout, is_needed=bool(self.with_quantiles))

    def of_counters(self, series: Series) -> list[int]:
        """Which of the series are counters, by position."""
        return _in(self.counters, series) if self.counters else []

    def of_quantiles(self, series: Series) -> list[int]:
        """Which of the series have quantiles, by position."""
        return _in(self.with_quantiles, series) if self.with_quantiles else []

    def counter(self, metric: str, packed: bytes | None, known: Known, clock: Clock) -> Counter:
        """Restore the counter of a series of a metric that is one."""
        return Counter.restore(self._counter_form, self.counters[metric], packed, known, clock)

    def quantiles(self, packed: bytes | None, rows: Rows, clock: Clock) -> Quantiles:
        """Restore the quantiles of a series of a metric that has them."""
        return Quantiles.restore(self.quantile_form, packed, rows, clock)


def _in(metrics: Container[str], series: Series) -> list[int]:
    return [n for n, (_, metric) in enumerate(series) if metric in metrics]
