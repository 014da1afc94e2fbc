"""Results as Markdown and as JSON, including those that miss their target."""

from __future__ import annotations

import math
import statistics
import subprocess
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from bench import launch, machine, openloop
from bench.device_counts import DeviceCounts
from bench.latency import HalfLoad
from bench.memory_growth import MemoryGrowth
from bench.peers.peer import Peer
from bench.rounds import CostLimit, Plan, Reconciliation, Sample, Verdict, median_rates

Row = Sequence[object]
COSTS = ("server µs", "Redis µs", "file bytes")  # per reading or response


def conditions(plan: Plan, peers: Iterable[Peer], notes: Iterable[str]) -> dict[str, Any]:
    """The machine, time, versions and plan of a measurement."""
    peers = list(peers)
    packages = ["redis-server", "wrk", *(peer.package for peer in peers if peer.package)]
    pinning = f"server on core {machine.SERVER_CORE}, Redis and load on core {machine.LOAD_CORE}"
    return {
        "machine": machine.description(),
        "cores": pinning if machine.can_pin() else "processes not pinned to cores",
        "measured_at": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "versions": {package: machine.version_of(package) for package in packages},
        "plan": plan._asdict(),
        "promises": {peer.name: peer.promise for peer in peers},
        "notes": list(notes),
    }


def write(folder: Path, name: str, markdown: str, found: dict[str, Any]) -> list[Path]:
    """Write NAME.md and NAME.json; returns their paths."""
    text = folder / f"{name}.md"
    text.write_text(markdown)
    data = folder / f"{name}.json"
    encoded = msgspec.json.format(msgspec.json.encode(found), indent=1)
    data.write_bytes(encoded + b"\n")
    return [text, data]


def head(title: str, conditions: dict[str, Any]) -> str:
    """Title, plot, and the conditions."""
    plan = conditions["plan"]
    versions = ", ".join(
        f"{package} {version}" for package, version in conditions["versions"].items()
    )
    lines = [
        f"# {title}",
        f"![{title}]({title.lower().replace(' ', '-')}.png)",
        f"- machine: {conditions['machine']}",
        f"- cores: {conditions['cores']}",
        f"- measured: {conditions['measured_at']}, commit {conditions['commit']}",
        f"- versions: {versions}",
        (
            f"- rounds: {plan['rounds']}, each with all peers; {plan['seconds']} s per measurement "
            f"after {plan['warmup_s']} s of warm-up; wrk with one thread and keep-alive connections"
        ),
        *(f"- {note}" for note in conditions["notes"]),
    ]
    return "\n".join([*lines[:1], "", lines[1], "", *lines[2:], ""])


def verdicts(found: Iterable[Verdict]) -> str:
    """Ratios compared with their targets."""
    rows = [
        (
            v.comparison.title,
            v.connections,
            f"{v.median:.2f}",
            f"{v.minimum:.2f} to {v.maximum:.2f}",
            f"{v.comparison.target_at(v.connections):g}",
            f"{v.per_cpu:.2f}",
            "yes" if v.is_met else "**no**",
        )
        for v in found
    ]
    titles = (
        "comparison",
        "connections",
        "median ratio",
        "range",
        "target",
        "per CPU second",
        "met",
    )
    return section("Ratios to the peers", table(titles, rows))


def rates(samples: Sequence[Sample], promises: dict[str, str]) -> str:
    """Every measured rate, and the load of the cores."""
    rows = []
    for (case, peer, connections), rate in sorted(median_rates(samples).items()):
        group = [s for s in samples if (s.case, s.peer, s.connections) == (case, peer, connections)]
        p50_ms, p99_ms = (
            _median([getattr(s.load, name) for s in group]) / 1000 for name in ("p50_us", "p99_us")
        )
        cpu, busy = (
            _median([getattr(s, name) for s in group]) for name in ("server_cpu", "load_busy")
        )
        rows.append(
            (case, peer, connections, f"{rate:,.0f}", *costs(group), f"{p50_ms:.2f}",
             f"{p99_ms:.2f}", f"{cpu:.0%}", f"{busy:.0%}", sum(s.load.rejected for s in group))
        )  # fmt: skip
    titles = ("case", "peer", "connections", "per second", *COSTS, "p50 ms", "p99 ms",
              "server CPU", "load core busy", "rejected")  # fmt: skip
    guarantees = "\n".join(f"- {peer}: {promise}" for peer, promise in promises.items())
    intro = (
        "Medians over the rounds, in readings or responses per second; CPU time of the server and "
        "of its Redis, and bytes of the append-only file of Redis, are per reading or response. "
        "Where the server used less than its whole core, the load, Redis or another program was "
        "the bottleneck. "
        "What a successful response guarantees:\n"
    )
    return section("Rates", f"{intro}\n{guarantees}\n\n{table(titles, rows)}")


def costs(group: Sequence[Sample]) -> list[str]:
    """Medians of the costs of samples; empty if a peer has no Redis."""
    medians = [_median(column) for column in zip(*(s.costs for s in group), strict=True)]
    return ["" if math.isnan(value) else f"{value:.{_digits(value)}f}" for value in medians]


def cost_limits(samples: Sequence[Sample], limits: Iterable[CostLimit], subject: str) -> str:
    """The CPU time of Redis per reading, compared with its limits."""
    rows = []
    for limit in limits:
        for connections, limit_us in limit.redis_us.items():
            key = (subject, limit.case, connections)
            group = [s for s in samples if (s.peer, s.case, s.connections) == key]
            if group:
                used_us = _median([s.costs[1] for s in group])
                met = "yes" if used_us <= limit_us else "**no**"
                rows.append((limit.title, connections, f"{used_us:.1f}", f"{limit_us:g}", met))
    titles = ("case", "connections", "Redis µs per reading", "limit", "met")
    return section("Cost of Redis", table(titles, rows))


def half_load(found: HalfLoad) -> str:
    """Percentiles and histogram of the open loop."""
    result = found.result
    names = {"50": "p50", "90": "p90", "99": "p99", "99.9": "p99.9", "100": "max"}
    figures = ", ".join(f"{names[p]} {ms:.2f} ms" for p, ms in result.percentiles_ms.items())
    lines = [
        f"{result.rate:,.0f} requests per second, half of {found.max_rate:,.0f}; latencies count "
        "from when the request was due: " + figures + ".",
        f"They include the delay of the load generator, {result.sent_late_p99_ms:.2f} ms at p99.",
    ]
    if not found.is_steady:
        lines.append(
            f"**Below {found.target_rate:,.0f} per second: these are latencies of a growing queue.**"
        )
    return section("Latency at half the maximum rate", "\n".join(lines), histogram(result.counts))


def histogram(counts: list[int]) -> str:
    """Latencies as a text chart, without the empty ends."""
    used = [number for number, count in enumerate(counts) if count]
    if not used:
        return "No request succeeded."
    widest = max(counts)
    lines = [
        f"{openloop.EDGES_MS[n]:9.2f} ms {counts[n]:9d} {'#' * round(60 * counts[n] / widest)}"
        for n in range(used[0], used[-1] + 1)
    ]
    return "\n".join(["```text", *lines, "```"])


def memory(found: MemoryGrowth) -> str:
    """Resident memory over the number of requests, and whether it is flat."""
    step = max(1, len(found.requests) // 10)
    sampled = sorted({*range(0, len(found.requests), step), len(found.requests) - 1})
    rows = [(f"{found.requests[n]:,}", f"{found.resident_bytes[n] / 2**20:.1f}") for n in sampled]
    verdict = (
        f"{found.verdict}: {found.bytes_per_request:+.3f} bytes per request in the second half"
    )
    return section("Memory", f"{verdict}.", table(("requests", "MiB"), rows))


def device_counts(found: Iterable[DeviceCounts]) -> str:
    """Median latency with few and with many devices."""
    rows = [
        (p.connections, f"{_median(p.few_p50_us):.0f}", f"{_median(p.many_p50_us):.0f}",
         f"{p.ratio:.2f}", "1.2", "yes" if p.ratio <= 1.2 else "**no**")
        for p in found
    ]  # fmt: skip
    sizes = next(iter(found))
    titles = ("connections", f"{sizes.few:,} devices: p50 µs", f"{sizes.many:,} devices: p50 µs",
              "median ratio", "limit", "met")  # fmt: skip
    return section("With many devices", table(titles, rows))


def reconciliations(found: Iterable[Reconciliation]) -> str:
    """Whether every acknowledged reading is stored."""
    rows = [
        (
            k.peer,
            f"{k.acknowledged:,}",
            f"{k.stored:,}",
            k.unconfirmed,
            k.lost,
            k.unexplained,
        )
        for k in found
    ]
    titles = (
        "peer",
        "acknowledged",
        "stored",
        "unconfirmed at most",
        "lost",
        "unexplained",
    )
    intro = (
        "In readings. `unconfirmed`: a closed loop disconnects at its end, so one response per "
        "connection may be unread; a rejected request may have been stored by Redis."
    )
    return section("Lost readings", intro, table(titles, rows))


def section(title: str, *parts: str) -> str:
    """A heading and what is below it."""
    return "\n\n".join([f"## {title}", *parts]) + "\n"


def table(titles: Row, rows: Iterable[Row]) -> str:
    """A Markdown table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _median(values: Sequence[float | None]) -> float:
    present = [value for value in values if value is not None and not math.isnan(value)]
    return statistics.median(present) if present else float("nan")


def _digits(value: float) -> int:
    """Decimals of a cost: two below 10, one below 100."""
    return 2 if abs(value) < 10 else int(abs(value) < 100)


def _commit() -> str:
    result = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=launch.ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return result.stdout.strip() or "unknown"
