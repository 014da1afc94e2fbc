"""Results as plots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench import openloop
from bench.device_counts import DeviceCounts
from bench.latency import HalfLoad
from bench.memory_growth import MemoryGrowth
from bench.rounds import Sample, median_rates

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    Panel = Callable[[Axes], None]
_TRIBUTARY, _OTHER = "#0b6e99", "#8a8d91"
_COLORS = {
    "Tributary": _TRIBUTARY,
    "webdis": _OTHER,
    "VictoriaMetrics": "#b8860b",
    "InfluxDB": "#7a5ba1",
    "Flask + gunicorn": "#a14a5f",
    "tutorial app": "#5b7f3a",
}


def write(path: Path, title: str, panels: Sequence[Panel]) -> Path:
    """Write a PNG with two panels per row."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow

    rows = -(-len(panels) // 2)
    figure = Figure(figsize=(11, 3.8 * rows), layout="constrained", dpi=110)
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(rows, 2, squeeze=False).flat
    for panel, place in zip(panels, axes, strict=False):
        panel(place)
        place.spines[["top", "right"]].set_visible(False)
    for place in list(figure.axes)[len(panels) :]:
        place.set_visible(False)
    figure.savefig(path)
    return path


def rates(samples: Sequence[Sample], cases: Sequence[str], title: str) -> Panel:
    """Bars of the median rates, grouped by case and number of connections."""
    found = {key: rate for key, rate in median_rates(samples).items() if key[0] in cases}
    peers = list(dict.fromkeys(s.peer for s in samples if s.case in cases))
    groups = list(dict.fromkeys((case, connections) for case, _, connections in found))
    groups.sort(key=lambda group: (cases.index(group[0]), group[1]))

    def draw(axes: Axes) -> None:
        width = 0.84 / len(peers)
        for number, peer in enumerate(peers):
            heights = [found.get((case, peer, c), 0.0) for case, c in groups]
            places = np.arange(len(groups)) + (number - (len(peers) - 1) / 2) * width
            bars = axes.bar(places, heights, width, label=peer, color=_COLORS[peer])
            axes.bar_label(bars, [_short(h) for h in heights], fontsize=6, padding=1)
        labels = [f"{case}\n{c}" if len(cases) > 1 else str(c) for case, c in groups]
        axes.set_xticks(range(len(groups)), labels, fontsize=7)
        axes.set(title=title, xlabel="connections", ylabel="per second")
        axes.set_ylim(0, max(found.values()) * 1.3)
        axes.yaxis.set_major_formatter(lambda rate, _: _short(rate) or "0")
        axes.legend(fontsize=7, frameon=False, ncols=3, loc="upper center")

    return draw


def costs(samples: Sequence[Sample], case: str) -> Panel:
    """Bars of the CPU time of server and Redis per reading of Tributary, by connections."""
    group = [s for s in samples if (s.peer, s.case) == ("Tributary", case)]
    connections = sorted({s.connections for s in group})
    medians = np.array(
        [np.median([s.costs for s in group if s.connections == c], axis=0) for c in connections]
    )

    def draw(axes: Axes) -> None:
        places = np.arange(len(connections))
        for shift, label, color in ((-0.2, "server", _TRIBUTARY), (0.2, "Redis", _OTHER)):
            values_us = medians[:, int(shift > 0)]
            bars = axes.bar(places + shift, values_us, 0.4, label=label, color=color)
            axes.bar_label(bars, fmt="%.1f", fontsize=7)
        axes.set_xticks(places, [str(c) for c in connections])
        axes.set(title=f"CPU time of Tributary, {case}", xlabel="connections",
                 ylabel="µs per reading", yscale="log")  # fmt: skip
        axes.legend(fontsize=7, frameon=False)

    return draw


def half_load(found: HalfLoad) -> Panel:
    """Histogram of latencies, with p50 and p99."""

    def draw(axes: Axes) -> None:
        axes.stairs(found.result.counts, openloop.EDGES_MS, fill=True, color=_TRIBUTARY)
        for name, style in (("50", "--"), ("99", ":")):
            value_ms = found.result.percentiles_ms[name]
            label = f"p{name} {value_ms:.2f} ms"
            axes.axvline(value_ms, color="black", linewidth=1, linestyle=style, label=label)
        axes.legend(fontsize=7, frameon=False)
        axes.set(
            title=f"Latency at half the maximum rate, {found.result.rate:,.0f}/s",
            xlabel="ms since the request was due", ylabel="requests", xscale="log",
        )  # fmt: skip
        used = np.flatnonzero(found.result.counts)
        if len(used):
            axes.set_xlim(openloop.EDGES_MS[used[0]] / 1.3, openloop.EDGES_MS[used[-1] + 1] * 1.3)

    return draw


def memory(found: MemoryGrowth) -> Panel:
    """Resident memory over the number of requests."""

    def draw(axes: Axes) -> None:
        resident_mib = np.array(found.resident_bytes) / 2**20
        axes.plot(found.requests, resident_mib, color=_TRIBUTARY, marker=".")
        axes.set(
            title="Memory of gunicorn and its worker",
            xlabel=f"requests; {found.verdict}", ylabel="MiB resident",
        )  # fmt: skip
        axes.xaxis.set_major_formatter(lambda requests, _: _short(requests) or "0")
        axes.set_ylim(0, float(resident_mib.max()) * 1.2)

    return draw


def device_counts(found: Sequence[DeviceCounts]) -> Panel:
    """Median latency with few and with many devices."""

    def draw(axes: Axes) -> None:
        places = np.arange(len(found))
        sides = [
            (-0.2, _OTHER, found[0].few, [np.median(p.few_p50_us) for p in found]),
            (0.2, _TRIBUTARY, found[0].many, [np.median(p.many_p50_us) for p in found]),
        ]
        for shift, color, devices, p50_us in sides:
            bars = axes.bar(places + shift, p50_us, 0.4, label=f"{devices:,} devices", color=color)
            axes.bar_label(bars, fmt="%.0f", fontsize=7)
        axes.set_xticks(places, [str(p.connections) for p in found])
        axes.set(title="/collect with many devices", xlabel="connections", ylabel="p50 µs")
        axes.legend(fontsize=7, frameon=False)

    return draw


def _short(rate: float) -> str:
    if not rate:
        return ""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if rate >= size:
            return f"{rate / size:.1f}".removesuffix(".0") + unit
    return f"{rate:.0f}"
