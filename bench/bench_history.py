"""The history on SQLite and PostgreSQL, with InfluxDB beside it on the same data."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np

from bench import compare_options, history_data, history_merge, history_stores, machine, report
from bench.history_merge import Merge
from bench.history_stores import History, Store
from bench.peers import postgresql
from tributary.history.slots import DAY_MS, HOUR_MS, MINUTE_MS, Slots

Opener = Callable[[Path], AbstractContextManager[Store]]
_SPANS_DAYS = (7, 30)
_REPEATS, _REPEATS_OF_ALL = 9, 3
_MINUTES_NOW = 20
_HOURS_AT_ONCE = 24  # of the days before the last one


class Query(msgspec.Struct, frozen=True):
    """The median time of a query."""

    name: str
    rows: int
    ms: float


class Outcome(msgspec.Struct, frozen=True):
    """What was measured of one store."""

    store: str
    rows: int  # minutes
    filled_per_s: float  # an hour of all series per transaction, the last day
    current_per_s: float  # the current minute of all series per transaction
    size_bytes: int
    queries: list[Query]
    merges: list[Merge]


@click.command("history", epilog="Example: scripts/bench history --series 100")
@click.option("--series", type=click.IntRange(1), help="number of series  [default: 1000]")
@click.option("--days", type=click.IntRange(1), help="days of minutes  [default: 30]")
@click.option("--short", is_flag=True, help="smoke test: 5 series, 2 days")
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    help="output directory  [default: docs/benchmarks; short: build/benchmarks]",
)
def command(*, series: int | None, days: int | None, short: bool, to: Path | None) -> None:
    """Rows per second into each store, bytes per slot, and time of queries."""
    series, days = series or (5 if short else 1_000), days or (2 if short else 30)
    notes, outcomes = machine.load_warning(), []
    folder = compare_options.folder(to, short=short)
    for name, (opener, is_installed) in _STORES.items():
        if not is_installed():
            notes.append(f"{name} was skipped: it is not installed")
            continue
        click.echo(f"{name}: {series} series, {days} days", err=True)
        temporary = tempfile.TemporaryDirectory(prefix="tributary-bench-")
        with temporary as data, opener(Path(data)) as store:
            outcomes.append(measure(store, series, days))
        found = _found(series, days, notes, outcomes)
        written = report.write(folder, "history", text(found), found)
    click.echo(text(found))
    for path in written:
        click.echo(f"written: {path}")


def _found(series: int, days: int, notes: list[str], outcomes: list[Outcome]) -> dict[str, Any]:
    return {
        "machine": machine.description(),
        "measured_at": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
        "versions": {p: machine.version_of(p) for p in ("postgresql-15", "influxdb")},
        "series": series,
        "days": days,
        "notes": notes,
        "outcomes": outcomes,
    }


_STORES: dict[str, tuple[Opener, Callable[[], bool]]] = {
    "SQLite": (history_stores.sqlite, lambda: True),
    "PostgreSQL": (history_stores.postgres, postgresql.is_installed),
    "InfluxDB": (history_stores.influxdb, lambda: shutil.which("influxd") is not None),
}


def measure(store: Store, series: int, days: int) -> Outcome:
    """Fill a store, and query it."""
    rows = series * days * DAY_MS // MINUTE_MS
    _write_s(store, history_data.hours(series, days * 24, 24, _HOURS_AT_ONCE))
    filled_s = _write_s(store, history_data.hours(series, 24, 0, 1))
    size_bytes = store.size_bytes()
    rng = np.random.default_rng(1)
    queries = []
    for span in sorted({min(days, each) for each in _SPANS_DAYS}):
        from_ms = history_data.END_MS - span * DAY_MS
        device = history_stores.random_device(series, rng)
        for name, repeats, query in (
            (f"one series, {span} days of minutes", _REPEATS,
             lambda d=device, f=from_ms: store.one(d, f)),
            (f"{series:,} series, {span} days of hours", _REPEATS_OF_ALL,
             lambda f=from_ms: store.many(HOUR_MS, f)),
        ):  # fmt: skip
            queries.append(_query(name, query, repeats))
    span = min(days, _SPANS_DAYS[0])
    from_ms = history_data.END_MS - span * DAY_MS
    name = f"{series:,} series, {span} days of minutes"
    queries.append(_query(name, lambda: store.many(MINUTE_MS, from_ms), 1))
    merges = history_merge.measure(store, series) if isinstance(store, History) else []
    current_per_s = series * _MINUTES_NOW / _write_s(store, _current(series))
    return Outcome(
        store.name,
        rows,
        series * DAY_MS / MINUTE_MS / filled_s,
        current_per_s,
        size_bytes,
        queries,
        merges,
    )


def _query(name: str, query: Callable[[], int], repeats: int) -> Query:
    times_s = []
    for _ in range(repeats):
        began_s = time.perf_counter()
        rows = query()
        times_s.append(time.perf_counter() - began_s)
    return Query(name, rows, statistics.median(times_s) * 1000)


def _write_s(store: Store, blocks: Iterable[Slots]) -> float:
    """The time of the writes, without that of making the data."""
    spent_s = 0.0
    for block in blocks:
        began_s = time.perf_counter()
        store.write(block)
        spent_s += time.perf_counter() - began_s
    return spent_s


def _current(series: int) -> Iterator[Slots]:
    """The minutes behind the data, after the hours that the merges were measured with."""
    first_ms = history_data.END_MS + len(history_merge.WAYS) * HOUR_MS
    for number in range(_MINUTES_NOW):
        yield history_data.block(series, first_ms + number * MINUTE_MS, 1)


_DURABILITY = (
    "- SQLite and PostgreSQL wait for the disk at each commit; so does InfluxDB, with its defaults"
)
_HOURS = (
    "- hours are rows of their own in SQLite and PostgreSQL; InfluxDB computes them from the "
    "minutes for each query, without m2"
)


def text(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    outcomes: list[Outcome] = found["outcomes"]
    versions = ", ".join(f"{package} {version}" for package, version in found["versions"].items())
    size = f"{found['series']:,} series, {found['days']} days of minutes"
    lines = [
        "# History",
        "",
        f"- machine: {found['machine']}",
        f"- measured: {found['measured_at']}",
        f"- versions: {versions}",
        f"- data: {size}, {outcomes[0].rows:,} rows of count, mean, m2, min and max",
        _DURABILITY,
        _HOURS,
        *(f"- {note}" for note in found["notes"]),
    ]
    return "\n".join([*lines, "", _writes(outcomes), _queries(outcomes), _merges(outcomes)])


def _writes(outcomes: list[Outcome]) -> str:
    rows = [
        (o.store, f"{o.filled_per_s:,.0f}", f"{o.current_per_s:,.0f}", f"{o.size_bytes:,}",
         f"{o.size_bytes / o.rows:.1f}")
        for o in outcomes
    ]  # fmt: skip
    titles = ("store", "an hour of all series: rows/s", "a minute of all series: rows/s",
              "bytes", "bytes per slot")  # fmt: skip
    return report.section(
        "Writes and size",
        "Rows of minutes per second, by transactions of an hour or a minute of all series, after "
        "all other days were written; hours and days are merged in the same transaction. The size "
        "includes hours, days and indexes.",
        report.table(titles, rows),
    )


def _queries(outcomes: list[Outcome]) -> str:
    rows = [
        (query.name, f"{query.rows:,}", *(f"{o.queries[n].ms:,.1f}" for o in outcomes))
        for n, query in enumerate(outcomes[0].queries)
    ]
    titles = ("query", "rows", *(f"{o.store}: ms" for o in outcomes))
    return report.section("Queries", "Medians, with all rows decoded.", report.table(titles, rows))


def _merges(outcomes: list[Outcome]) -> str:
    rows = [
        (merge.store, merge.way, f"{merge.new_us:.2f}", f"{merge.existing_us:.2f}")
        for outcome in outcomes
        for merge in outcome.merges
    ]
    return report.section(
        "Merging",
        "An hour of all series into the table of minutes: read, merge with numpy and write, as "
        "the history does; or an upsert that computes in SQL, which fails or loses the deviation "
        "of values near the limits of doubles.",
        report.table(("store", "by", "new rows: µs", "existing rows: µs"), rows),
    )
