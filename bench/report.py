"""Results as Markdown for people and JSON for programs; figures that disappoint stand there too."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from bench import launch, machine, openloop
from bench.device_counts import Populations
from bench.latency import AtHalf
from bench.memory_growth import Memory
from bench.peers.peer import Peer
from bench.rounds import Kept, Plan, Sample, Verdict, median_rates

Row = Sequence[object]


def conditions(plan: Plan, peers: Iterable[Peer], notes: Iterable[str]) -> dict[str, Any]:
    """Where, when, with what and how it was measured."""
    peers = list(peers)
    packages = ["redis-server", "wrk", *(peer.package for peer in peers if peer.package)]
    pinning = f"server on core {machine.SERVER_CORE}, Redis and load on core {machine.LOAD_CORE}"
    return {
        "machine": machine.described(),
        "cores": pinning if machine.can_pin() else "processes were not pinned to cores",
        "measured_at": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "versions": {package: machine.version_of(package) for package in packages},
        "plan": plan._asdict(),
        "promises": {peer.name: peer.promise for peer in peers},
        "notes": list(notes),
    }


def write(folder: Path, name: str, markdown: str, found: dict[str, Any]) -> list[Path]:
    """Write NAME.md and NAME.json; their paths."""
    text = folder / f"{name}.md"
    text.write_text(markdown)
    machine_readable = folder / f"{name}.json"
    encoded = msgspec.json.format(msgspec.json.encode(found), indent=1)
    machine_readable.write_bytes(encoded + b"\n")
    return [text, machine_readable]


def head(title: str, of: dict[str, Any]) -> str:
    """Title, plot, and the conditions."""
    plan = of["plan"]
    versions = ", ".join(f"{package} {version}" for package, version in of["versions"].items())
    lines = [
        f"# {title}",
        f"![{title}]({title.lower()}.png)",
        f"- machine: {of['machine']}",
        f"- cores: {of['cores']}",
        f"- measured: {of['measured_at']}, commit {of['commit']}",
        f"- versions: {versions}",
        (
            f"- rounds: {plan['rounds']}, the peers in turn in each; {plan['seconds']} s a "
            f"measurement after {plan['warmup_s']} s of warm-up; wrk with one thread and kept "
            "connections"
        ),
        *(f"- {note}" for note in of["notes"]),
    ]
    return "\n".join([*lines[:1], "", lines[1], "", *lines[2:], ""])


def verdicts(found: Iterable[Verdict]) -> str:
    """Ratios against what was promised."""
    rows = [
        (
            v.comparison.what,
            v.connections,
            f"{v.median:.2f}",
            f"{v.least:.2f} to {v.most:.2f}",
            f"{v.comparison.at_least:g}",
            f"{v.per_cpu:.2f}",
            "yes" if v.is_met else "**no**",
        )
        for v in found
    ]
    titles = (
        "what",
        "connections",
        "median of ratios",
        "least to most",
        "at least",
        "per CPU second",
        "reached",
    )
    return section("Against the peers", table(titles, rows))


def rates(samples: Sequence[Sample], promises: dict[str, str]) -> str:
    """Every rate that was measured, and how busy the cores were with it."""
    rows = []
    for (case, peer, connections), rate in sorted(median_rates(samples).items()):
        of = [s for s in samples if (s.case, s.peer, s.connections) == (case, peer, connections)]
        p50_ms, p99_ms = (
            _median([getattr(s.load, name) for s in of]) / 1000 for name in ("p50_us", "p99_us")
        )
        cpu, busy = (
            _median([getattr(s, name) for s in of]) for name in ("server_cpu", "load_busy")
        )
        per_cpu = _median([s.rate_per_cpu for s in of])
        rows.append(
            (case, peer, connections, f"{rate:,.0f}", f"{per_cpu:,.0f}", f"{p50_ms:.2f}",
             f"{p99_ms:.2f}", f"{cpu:.0%}", f"{busy:.0%}", sum(s.load.refused for s in of))
        )  # fmt: skip
    titles = ("case", "peer", "connections", "a second", "a CPU second", "p50 ms", "p99 ms",
              "server had of its core", "load's core busy", "refused")  # fmt: skip
    promised = "\n".join(f"- {peer}: {promise}" for peer, promise in promises.items())
    intro = (
        "Medians over the rounds, in readings or answers a second. "
        "A CPU second is one of the server's own processor time: where it had less than all of "
        "its core, the load, Redis or another program was in the way. "
        "What an answer promises:\n"
    )
    return section("Rates", f"{intro}\n{promised}\n\n{table(titles, rows)}")


def at_half(found: AtHalf) -> str:
    """Percentiles and the histogram of the open loop."""
    result = found.result
    names = {"50": "p50", "90": "p90", "99": "p99", "99.9": "p99.9", "100": "max"}
    figures = ", ".join(f"{names[p]} {ms:.2f} ms" for p, ms in result.percentiles_ms.items())
    lines = [
        f"{result.rate:,.0f} requests a second, half of {found.most:,.0f}; each latency counts from "
        "when its request was due: " + figures + ".",
        f"The load itself was up to {result.sent_late_p99_ms:.2f} ms late (p99), which is included.",
    ]
    if not found.is_steady:
        lines.append(
            f"**The load did not reach {found.asked:,.0f} a second: these are latencies of a queue.**"
        )
    return section(
        "Latency at half of the maximum rate", "\n".join(lines), histogram(result.counts)
    )


def histogram(counts: list[int]) -> str:
    """Latencies as a text chart; empty ends are left out."""
    used = [number for number, count in enumerate(counts) if count]
    if not used:
        return "No request was answered."
    widest = max(counts)
    lines = [
        f"{openloop.EDGES_MS[n]:9.2f} ms {counts[n]:9d} {'#' * round(60 * counts[n] / widest)}"
        for n in range(used[0], used[-1] + 1)
    ]
    return "\n".join(["```text", *lines, "```"])


def memory(found: Memory) -> str:
    """Resident memory over the requests served, and whether it is flat."""
    step = max(1, len(found.requests) // 10)
    sampled = sorted({*range(0, len(found.requests), step), len(found.requests) - 1})
    rows = [(f"{found.requests[n]:,}", f"{found.resident_bytes[n] / 2**20:.1f}") for n in sampled]
    verdict = f"{found.verdict}: {found.growth_bytes:+.3f} bytes a request in the later half"
    return section("Memory", f"{verdict}.", table(("requests", "MiB"), rows))


def populations(found: Iterable[Populations]) -> str:
    """Median latency with few and with many devices."""
    rows = [
        (p.connections, f"{_median(p.few_p50_us):.0f}", f"{_median(p.many_p50_us):.0f}",
         f"{p.ratio:.2f}", "1.2", "yes" if p.ratio <= 1.2 else "**no**")
        for p in found
    ]  # fmt: skip
    sizes = next(iter(found))
    titles = ("connections", f"{sizes.few:,} devices: p50 µs", f"{sizes.many:,} devices: p50 µs",
              "median of ratios", "at most", "reached")  # fmt: skip
    return section("With many devices", table(titles, rows))


def kept(found: Iterable[Kept]) -> str:
    """Whether everything that was answered well is in the store."""
    rows = [
        (k.round + 1, k.peer, f"{k.answered:,}", f"{k.stored:,}", k.unheard, k.lost, k.surplus)
        for k in found
    ]
    titles = ("round", "peer", "answered", "stored", "unheard at most", "lost", "unexplained")
    intro = (
        "In readings. `unheard`: a closed loop hangs up at its end, so that of each connection "
        "one answer may be missed; a refusal may be of a request that Redis has taken."
    )
    return section("Nothing lost", intro, table(titles, rows))


def section(title: str, *parts: str) -> str:
    """A heading and what is below it."""
    return "\n\n".join([f"## {title}", *parts]) + "\n"


def table(titles: Row, rows: Iterable[Row]) -> str:
    """A Markdown table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _median(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else float("nan")


def _commit() -> str:
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=launch.ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return asked.stdout.strip() or "unknown"
